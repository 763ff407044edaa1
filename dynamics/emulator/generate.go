package emulator

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"
)

// generate yields the accounts: special ones first, the rest from words and places. The same
// options give the same rows.
func generate(o Options, d *directory) iter.Seq[*Account] {
	return func(yield func(*Account) bool) {
		g := newGenerator(o, d)
		for i := range o.Accounts {
			a := g.account(i, o.Seed)
			if i%11 == 5 && i > 50 { // a subsidiary of an earlier company
				a.ParentID = rowID("account", o.Seed, g.rng.IntN(i/2)).String()
			}
			if hasPrimary(i, o) {
				a.PrimaryContactID = rowID("contact", o.Seed, i).String()
			}
			if !yield(a) {
				return
			}
		}
	}
}

func newGenerator(o Options, d *directory) *generator {
	g := &generator{rng: rand.New(rand.NewPCG(o.Seed, 0x6372_6d62)), owners: owners(d), seen: map[string]bool{}}
	for _, n := range specialNames {
		g.seen[n] = true
	}
	return g
}

// owners are who owns rows: users, and one team.
func owners(d *directory) []guid {
	var out []guid
	for _, u := range d.members() {
		if u.ApplicationID == "" && !u.Disabled && len(out) < 16 {
			out = append(out, u.id)
		}
	}
	return append(out, d.teams[1].id)
}

type generator struct {
	rng    *rand.Rand
	owners []guid
	seen   map[string]bool
}

func (g *generator) one(words []string) string { return words[g.rng.IntN(len(words))] }

// some is true in n of 100 cases.
func (g *generator) some(n int) bool { return g.rng.IntN(100) < n }

func (g *generator) choice(first, last int32) *int32 {
	n := first + g.rng.Int32N(last-first+1)
	return &n
}

func (g *generator) name(i int) (name, family string) {
	if i < len(specialNames) {
		return specialNames[i], "special"
	}
	for {
		p := places[g.rng.IntN(len(places))]
		family = g.one(families)
		switch g.rng.IntN(5) {
		case 0:
			name = family + " " + g.one(trades) + " " + g.one(forms[p.land])
		case 1:
			name = family + " & " + g.one(families) + " " + g.one(forms[p.land])
		case 2:
			name = p.city + " " + g.one(trades) + " " + g.one(forms[p.land])
		case 3:
			name = family + " " + g.one(trades) + " " + p.city
		default:
			name = g.one(adjectives) + " " + g.one(trades) + " " + g.one(forms[p.land])
		}
		if !g.seen[name] || g.some(3) { // real lists hold a few duplicates
			g.seen[name] = true
			return name, family
		}
	}
}

func (g *generator) account(i int, seed uint64) *Account {
	a := &Account{ID: rowID("account", seed, i).String()}
	var family string
	a.Name, family = g.name(i)
	p := places[g.rng.IntN(len(places))]
	g.address(a, p)
	a.Number = fmt.Sprintf("AC-%06d", 100000+i)
	host := slug(family) + fmt.Sprintf("-%d.example", i)
	if !g.some(8) {
		a.Website = "https://www." + host + "/"
	}
	if !g.some(10) {
		a.Email = g.one([]string{"info", "office", "contact", "sales", "hello"}) + "@" + host
	}
	if !g.some(5) {
		a.Phone = fmt.Sprintf("%s %03d %04d", p.dial, 100+g.rng.IntN(900), g.rng.IntN(10000))
	}
	if g.some(30) {
		a.Description = g.one(adjectives) + " supplier for " + strings.ToLower(g.one(trades)) + ".\nKnown since " +
			fmt.Sprint(1950+g.rng.IntN(70)) + "."
	}
	g.figures(a)
	g.choices(a, i)
	g.dates(a)
	g.custom(a, i)
	a.OwnerID = g.owners[g.rng.IntN(len(g.owners))].String()
	return a
}

func (g *generator) address(a *Account, p place) {
	if g.some(4) {
		return
	}
	a.Line1 = fmt.Sprintf("%d %s", 1+g.rng.IntN(240), g.one(streets))
	a.City, a.State, a.Land = p.city, p.state, lands[p.land]
	a.PostalCode = p.postal(g.rng.IntN(90))
}

func (g *generator) figures(a *Account) {
	if !g.some(12) {
		n := int32(1 + g.rng.IntN(60))
		for g.some(45) && n < 400_000 {
			n *= int32(2 + g.rng.IntN(5))
		}
		a.Employees = &n
	}
	if !g.some(15) {
		m := int64(50_000+g.rng.IntN(900_000)) * 10_000
		for g.some(50) && m < 1e14 {
			m *= int64(2 + g.rng.IntN(6))
		}
		switch g.rng.IntN(4) {
		case 0:
			m += int64(g.rng.IntN(100)) * 100 // cents
		case 1:
			m -= m % 10_000_000 // round thousands
		}
		a.Revenue = &m
	}
	if g.some(35) {
		m := int64(1+g.rng.IntN(200)) * 5000 * 10_000
		a.CreditLimit = &m
	}
}

func (g *generator) choices(a *Account, i int) {
	if !g.some(4) {
		n := int32(1 + (i+g.rng.IntN(5))%len(industries))
		a.Industry = &n
	}
	if !g.some(20) {
		a.Classification = g.choice(1, int32(len(classifications)))
	}
	if !g.some(25) {
		a.Category = g.choice(1, 2)
	}
	if !g.some(10) {
		a.CustomerType = g.choice(1, 12)
	}
	if !g.some(40) {
		a.Ownership = g.choice(1, 4)
	}
	one := int32(1)
	a.Rating = &one
	a.PreferredContact = g.choice(1, 5)
	a.StatusCode = 1
	if g.some(9) {
		a.StateCode, a.StatusCode = 1, 2
	}
	a.DoNotEmail, a.DoNotBulkEmail, a.DoNotPhone, a.CreditOnHold = g.some(7), g.some(12), g.some(6), g.some(3)
	if g.some(6) {
		a.Ticker = strings.ToUpper(slug(a.Name + "xxxx")[:4])
	}
}

func (g *generator) dates(a *Account) {
	start := time.Date(2016, 1, 4, 7, 0, 0, 0, time.UTC)
	a.CreatedOn = start.Add(time.Duration(g.rng.Int64N(int64(9*365*24))) * time.Hour).Add(
		time.Duration(g.rng.IntN(3600)) * time.Second)
	a.ModifiedOn = a.CreatedOn.Add(time.Duration(g.rng.Int64N(int64(400*24*3600))) * time.Second)
}

func (g *generator) custom(a *Account, i int) {
	if !g.some(30) {
		n := tierOptions[g.rng.IntN(len(tierOptions))].value
		a.Tier = &n
	}
	if !g.some(25) {
		a.ExternalRef = fmt.Sprintf("ERP/%s-%05d", g.one([]string{"EU", "US", "AP"}), i)
	}
	if !g.some(35) {
		n := g.rng.Int64N(1_000_001) // 0.0000 to 100.0000
		a.LeadScore = &n
	}
	if !g.some(40) {
		for _, c := range channelOptions {
			if g.some(35) {
				a.Channels = append(a.Channels, c.value)
			}
		}
	}
	if !g.some(50) {
		a.LastCampaign = time.Date(2021, 1, 1+g.rng.IntN(1700), 0, 0, 0, 0, time.UTC)
	}
}

// slug keeps the ASCII letters and digits, for host names.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "company"
	}
	return b.String()
}
