package emulator

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"
)

// people makes rows about persons: contacts and leads.
type people struct {
	rng    *rand.Rand
	seed   uint64
	owners []guid
}

func newPeople(o Options, d *directory, stream uint64) *people {
	return &people{rng: rand.New(rand.NewPCG(o.Seed, stream)), seed: o.Seed, owners: owners(d)}
}

func (g *people) one(words []string) string { return words[g.rng.IntN(len(words))] }

// some is true in n of 100 cases.
func (g *people) some(n int) bool { return g.rng.IntN(100) < n }

// option is one of a set's.
func (g *people) option(set []option) int { return int(set[g.rng.IntN(len(set))].value) }

// rowID looks like the sequential GUIDs of a real server: the last eight bytes are the same for all.
func rowID(table string, seed uint64, i int) guid {
	var space [64]byte
	name := append(append(space[:0], table...), 0)
	name = strconv.AppendInt(append(strconv.AppendUint(name, seed, 10), 0), int64(i), 10)
	sum := sha256.Sum256(name)
	id := stamped(guid(sum[:16]), 4)
	copy(id[6:], []byte{0xed, 0x11, 0xb5, 0x96, 0x00, 0x22, 0x48, 0x1d, 0x68, 0xcd})
	return id
}

// hasPrimary says whether an account has a primary contact: the contact of the same number.
func hasPrimary(i int, o Options) bool { return i%4 != 3 && i < o.Contacts }

// name gives a row a first and a last name, mostly of one script.
func (g *people) name(r Row, i int) {
	if i < len(specialNames) {
		r["lastname"] = cut(specialNames[i], 50)
		if i%3 != 0 {
			r["firstname"] = g.one(givenNames)
		}
		return
	}
	if g.some(20) {
		p := personNames[g.rng.IntN(len(personNames))]
		r["firstname"], r["lastname"] = g.one(p.first), g.one(p.last)
		return
	}
	r["lastname"] = g.one(families)
	if !g.some(3) {
		r["firstname"] = g.one(givenNames)
	}
}

// cut shortens a text to as many characters as its column holds.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// reach fills how a person is reached.
func (g *people) reach(r Row, i int, p place) {
	first, _ := r["firstname"].(string)
	last, _ := r["lastname"].(string)
	if !g.some(9) {
		r["emailaddress1"] = fmt.Sprintf("%s.%s%d@people.example", slug(first), slug(last), i)
	}
	if !g.some(20) {
		r["telephone1"] = fmt.Sprintf("%s %03d %04d", p.dial, 100+g.rng.IntN(900), g.rng.IntN(10000))
	}
	if g.some(55) {
		r["mobilephone"] = fmt.Sprintf("%s 7%02d %06d", p.dial, g.rng.IntN(100), g.rng.IntN(1_000_000))
	}
	if !g.some(15) {
		r["jobtitle"] = g.one(jobTitles)
	}
}

func (g *people) address(r Row, p place) {
	if g.some(12) {
		return
	}
	r["address1_line1"] = fmt.Sprintf("%d %s", 1+g.rng.IntN(240), g.one(streets))
	r["address1_city"], r["address1_stateorprovince"], r["address1_country"] = p.city, p.state, lands[p.land]
	r["address1_postalcode"] = p.postal(g.rng.IntN(90))
}

func (g *people) wishes(r Row) {
	r["donotemail"], r["donotbulkemail"], r["donotphone"] = g.some(6), g.some(15), g.some(5)
}

func (g *people) dates(r Row) {
	created := time.Date(2017, 2, 6, 7, 0, 0, 0, time.UTC).Add(time.Duration(g.rng.Int64N(8*365*24*3600)) * time.Second)
	r["createdon"], r["modifiedon"] = created, created.Add(time.Duration(g.rng.Int64N(300*24*3600))*time.Second)
}

// generateContacts makes the contacts. The first ones are the primary contacts of accounts.
func generateContacts(o Options, d *directory) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		g := newPeople(o, d, 0x636f_6e74)
		for i := range o.Contacts {
			if !yield(g.contact(i, o)) {
				return
			}
		}
	}
}

func (g *people) contact(i int, o Options) Row {
	p := places[g.rng.IntN(len(places))]
	r := Row{"contactid": rowID("contact", o.Seed, i).String(), "ownerid": g.owners[g.rng.IntN(len(g.owners))].String()}
	g.name(r, i)
	g.reach(r, i, p)
	g.address(r, p)
	g.customer(r, i, o)
	g.wishes(r)
	g.dates(r)
	g.person(r, i)
	if i > 100 && g.some(1) { // merged into an earlier one, and so inactive
		r["merged"], r["masterid"], r["statecode"], r["statuscode"] = true,
			rowID("contact", o.Seed, g.rng.IntN(i/2)).String(), 1, 2
	} else if g.some(7) {
		r["statecode"], r["statuscode"] = 1, 2
	}
	return r
}

// customer is the account or contact that a contact belongs to.
func (g *people) customer(r Row, i int, o Options) {
	switch n := g.rng.IntN(100); {
	case i < o.Accounts && hasPrimary(i, o):
		r["parentcustomerid"] = rowID("account", o.Seed, i).String()
	case n < 12:
	case n < 17 && i > 0:
		r["parentcustomerid"] = rowID("contact", o.Seed, g.rng.IntN(i)).String()
	case o.Accounts > 0:
		r["parentcustomerid"] = rowID("account", o.Seed, g.rng.IntN(o.Accounts)).String()
	}
}

func (g *people) person(r Row, i int) {
	if !g.some(25) {
		r["department"] = g.one(departments)
	}
	if g.some(20) {
		r["salutation"] = g.one([]string{"Dr.", "Ms.", "Mr.", "Prof.", "Frau", "Herr", "Mme"})
	}
	if !g.some(30) {
		r["accountrolecode"] = 1 + g.rng.IntN(3)
	}
	if g.some(50) {
		r["gendercode"] = 1 + g.rng.IntN(2)
	}
	if g.some(30) {
		r["familystatuscode"] = 1 + g.rng.IntN(4)
	}
	r["preferredcontactmethodcode"] = 1 + g.rng.IntN(5)
	if g.some(20) {
		r["birthdate"] = time.Date(1950+g.rng.IntN(55), 1, 1+g.rng.IntN(365), 0, 0, 0, 0, time.UTC)
	}
	if !g.some(20) {
		r["transactioncurrencyid"] = currencyID.String()
		if g.some(15) {
			r["annualincome"] = (20_000 + g.rng.IntN(180_000)) * 10_000
		}
	}
	if !g.some(35) {
		r["cb_persona"] = g.option(personaOptions)
	}
	var interests []int32
	for _, x := range interestOptions {
		if g.some(25) {
			interests = append(interests, x.value)
		}
	}
	r["cb_interests"] = interests
	if !g.some(30) {
		r["cb_externalref"] = fmt.Sprintf("P/%06d", i)
	}
	if !g.some(40) {
		r["cb_engagement"] = g.rng.IntN(1_000_001)
	}
	if g.some(45) {
		r["cb_lastcampaign"] = time.Date(2021, 1, 1+g.rng.IntN(1700), 0, 0, 0, 0, time.UTC)
	}
}

var jobTitles = []string{"Accountant", "Assistant to the Board", "Brand Manager", "Buyer", "CEO", "CFO", "CTO",
	"Chief Engineer", "Clerk", "Consultant",
	"Controller", "Designer", "Director of Marketing", "Event Manager", "Facility Manager", "Geschäftsführerin",
	"Head of IT", "Head of Procurement",
	"Head of Sales", "HR Business Partner", "Key Account Manager", "Lab Technician", "Legal Counsel",
	"Logistics Planner", "Marketing Manager",
	"Office Manager", "Owner", "Plant Manager", "Product Manager", "Prokurist", "Quality Manager", "R&D Lead",
	"Responsable des achats", "Sales Engineer",
	"Secretary", "Software Developer", "Team Lead", "VP Marketing", "VP Sales", "Warehouse Manager"}

var departments = []string{"Administration", "Customer Service", "Engineering", "Finance", "HR", "IT", "Legal",
	"Logistics", "Management", "Marketing",
	"Procurement", "Production", "Quality", "R&D", "Sales", "Einkauf", "Forschung & Entwicklung", "Ventes"}

var givenNames = []string{"Agnes", "Alasdair", "Amélie", "Anders", "Beatriz", "Björn", "Caoimhe", "Carmen", "Chidi",
	"Clara", "Dagmar", "Deepak", "Élise",
	"Emeka", "Fiona", "François", "Gabriela", "Günther", "Hanneke", "Henrik", "Ines", "Ivo", "Jana", "Jean-Luc", "João",
	"José María", "Kaspar", "Kirsten",
	"Lars", "Lucía", "Małgorzata", "Marek", "Matteo", "Mia", "Niamh", "Noël", "Olga", "Óscar", "Paolo", "Petra",
	"Quentin", "Rafael", "Renée", "Sara",
	"Søren", "Stefan", "Tadeusz", "Thérèse", "Uma", "Viktor", "Wanda", "Xavier", "Yara", "Zoë"}

// personNames are names of other scripts.
var personNames = []struct{ first, last []string }{
	{[]string{"Ольга", "Дмитро", "Наталія", "Сергій"}, []string{"Коваленко", "Шевченко", "Бондаренко", "Мельник"}},
	{[]string{"Νίκος", "Μαρία", "Γιώργος"}, []string{"Παπαδάκης", "Οικονόμου", "Νικολάου"}},
	{[]string{"محمد", "فاطمة", "يوسف"}, []string{"الحسن", "المصري", "خوري"}},
	{[]string{"דוד", "רחל", "יעל"}, []string{"כהן", "מזרחי", "פרץ"}},
	{[]string{"秀英", "伟", "芳"}, []string{"王", "李", "张"}},
	{[]string{"太郎", "花子", "健"}, []string{"佐藤", "鈴木", "高橋"}},
	{[]string{"민준", "서연", "지훈"}, []string{"김", "이", "박"}},
	{[]string{"สมชาย", "มาลี"}, []string{"ศรีสุข", "วงศ์ไทย"}},
	{[]string{"Işıl", "İbrahim"}, []string{"Çağlar", "Öztürk", "Yıldız"}},
}
