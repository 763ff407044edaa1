package emulator

import "fmt"

// The words that accounts are made of. Every name is invented; places are real so that address and dial code agree.

var industries = []string{
	"Accounting", "Agriculture and Non-petrol Natural Resource Extraction", "Broadcasting Printing and Publishing",
	"Brokers",
	"Building Supply Retail", "Business Services", "Consulting", "Consumer Services",
	"Design, Direction and Creative Management",
	"Distributors, Dispatchers and Processors", "Doctor's Offices and Clinics", "Durable Manufacturing",
	"Eating and Drinking Places",
	"Entertainment Retail", "Equipment Rental and Leasing", "Financial", "Food and Tobacco Processing",
	"Inbound Capital Intensive Processing", "Inbound Repair and Services", "Insurance", "Legal Services",
	"Non-Durable Merchandise Retail", "Outbound Consumer Service", "Petrochemical Extraction and Distribution",
	"Service Retail",
	"SIG Affiliations", "Social Services", "Special Outbound Trade Contractors", "Specialty Realty", "Transportation",
	"Utility Creation and Distribution", "Vehicle Retail", "Wholesale",
}

var customerTypes = []string{"Competitor", "Consultant", "Customer", "Investor", "Partner", "Influencer", "Press",
	"Prospect",
	"Reseller", "Supplier", "Vendor", "Other"}

// classifications are a customized option set: a fresh environment has Default Value only.
var classifications = labels(1, "Default Value", "Key Account", "Growth", "Long Tail")

var tierOptions = labels(100000000, "Platinum", "Gold", "Silver", "Bronze")

var channelOptions = labels(100000000, "Email", "Phone", "Trade Fair", "Webinar", "Postal Mail")

// specialNames are there exactly once each. The near-misses would be found too if a wildcard or
// quote went through unescaped.
var specialNames = []string{
	`O'Brien & Söhne 100% "GmbH"`, `OBrien & Söhne 100 "GmbH"`, `O'Brien & Söhne 1000 "GmbH"`,
	`50_50 [x]`, `50x50 x`, `50-50 [x]`, `50_50 x`, `100% GmbH`, `100 GmbH`, `100%25 GmbH`, `1000 GmbH`,
	`Fifty%Fifty`, `FiftyXFifty`, `A+B=C`, `A B=C`, `A%2BB=C`, `R&D #1 Labs`, `R&D`, `R`, `C:\Temp\Co`, `C:/Temp/Co`,
	`"Quoted" Inc`, `''Double'' Apostrophes`, `'`, `%`, `_`, `[`, `[a-c]`, `^caret^`, `[^x]`, `{braces}`,
	`semi;colon, comma`,
	`null`, `true`, `name eq 'x'`, `<b>Bold & Co</b>`, `$select`, `@p1`, `question? mark`, `~tilde~`, "tab\there",
	`日本商事株式会社`, `北京长城贸易有限公司`, `서울무역 주식회사`, `شركة النور للتجارة`, `חברת הגליל בע"מ`, `Зоря & Син`, `Ελληνική Εταιρεία Α.Ε.`,
	`บริษัท สยามการค้า`, `Emoji 🚀 Rockets`, `👩‍👩‍👧‍👦 Family Foods`, `Ünïcödé Straße`, `UNICODE STRASSE`,
	`İstanbul Işık A.Ş.`,
	`café noir`, `cafe noir`, "cafe\u0301 combining", `ﬁ ligature`, "Zero\u200bWidth", `x`, `Trailing Dots...`,
}

type place struct {
	city, state, land, code, dial string
}

func (p place) postal(n int) string { return fmt.Sprintf(p.code, n+10) }

var lands = map[string]string{"us": "United States", "de": "Germany", "at": "Austria", "ch": "Switzerland",
	"uk": "United Kingdom",
	"fr": "France", "nl": "Netherlands", "se": "Sweden", "pl": "Poland", "es": "Spain", "it": "Italy", "jp": "Japan",
	"ca": "Canada",
	"au": "Australia", "br": "Brazil", "in": "India"}

var forms = map[string][]string{"us": {"Inc.", "LLC", "Corp."}, "de": {"GmbH", "AG", "KG"}, "at": {"GmbH", "OG"},
	"ch": {"AG", "SA"},
	"uk": {"Ltd", "PLC"}, "fr": {"SARL", "SA"}, "nl": {"B.V.", "N.V."}, "se": {"AB"}, "pl": {"Sp. z o.o.", "S.A."},
	"es": {"S.L.", "S.A."},
	"it": {"S.r.l.", "S.p.A."}, "jp": {"K.K."}, "ca": {"Ltd.", "Inc."}, "au": {"Pty Ltd"}, "br": {"Ltda."},
	"in": {"Pvt. Ltd."}}

var places = []place{
	{"Seattle", "WA", "us", "981%02d", "+1 206"}, {"Portland", "OR", "us", "972%02d", "+1 503"},
	{"Chicago", "IL", "us", "606%02d", "+1 312"},
	{"Austin", "TX", "us", "787%02d", "+1 512"}, {"Boston", "MA", "us", "021%02d", "+1 617"},
	{"Denver", "CO", "us", "802%02d", "+1 303"},
	{"Atlanta", "GA", "us", "303%02d", "+1 404"}, {"Berlin", "Berlin", "de", "101%02d", "+49 30"},
	{"München", "Bayern", "de", "803%02d", "+49 89"},
	{"Hamburg", "Hamburg", "de", "203%02d", "+49 40"}, {"Köln", "Nordrhein-Westfalen", "de", "506%02d", "+49 221"},
	{"Stuttgart", "Baden-Württemberg", "de", "701%02d", "+49 711"}, {"Wien", "Wien", "at", "10%02d", "+43 1"},
	{"Graz", "Steiermark", "at", "80%02d", "+43 316"},
	{"Zürich", "ZH", "ch", "80%02d", "+41 44"}, {"Genève", "GE", "ch", "12%02d", "+41 22"},
	{"London", "Greater London", "uk", "EC%dA 1BB", "+44 20"},
	{"Manchester", "Greater Manchester", "uk", "M%d 2AA", "+44 161"}, {"Paris", "Île-de-France", "fr", "750%02d", "+33 1"},
	{"Lyon", "Auvergne-Rhône-Alpes", "fr", "690%02d", "+33 4"}, {"Amsterdam", "Noord-Holland", "nl", "10%02d AB",
		"+31 20"},
	{"Rotterdam", "Zuid-Holland", "nl", "30%02d CD", "+31 10"}, {"Stockholm", "Stockholms län", "se", "111 %02d", "+46 8"},
	{"Göteborg", "Västra Götaland", "se", "411 %02d", "+46 31"}, {"Kraków", "Małopolskie", "pl", "31-0%02d", "+48 12"},
	{"Warszawa", "Mazowieckie", "pl", "00-0%02d", "+48 22"}, {"Madrid", "Madrid", "es", "280%02d", "+34 91"},
	{"Sevilla", "Andalucía", "es", "410%02d", "+34 95"},
	{"Milano", "MI", "it", "201%02d", "+39 02"}, {"Torino", "TO", "it", "101%02d", "+39 011"},
	{"Tokyo", "Tokyo", "jp", "100-00%02d", "+81 3"},
	{"Osaka", "Osaka", "jp", "530-00%02d", "+81 6"}, {"Toronto", "ON", "ca", "M5V 1%02d", "+1 416"},
	{"Montréal", "QC", "ca", "H2Y 1%02d", "+1 514"},
	{"Sydney", "NSW", "au", "20%02d", "+61 2"}, {"Melbourne", "VIC", "au", "30%02d", "+61 3"},
	{"São Paulo", "SP", "br", "013%02d-000", "+55 11"},
	{"Bengaluru", "Karnataka", "in", "5600%02d", "+91 80"}, {"Pune", "Maharashtra", "in", "4110%02d", "+91 20"},
}

var families = []string{"Abernathy", "Almqvist", "Andersson", "Bachmeier", "Baldwin", "Barros", "Beaumont",
	"Bergström", "Bianchi", "Blackwood",
	"Brandt", "Calloway", "Castellano", "Chandra", "Chevalier", "Conti", "Dąbrowski", "Delacroix", "Dijkstra", "Dubois",
	"Eklund", "Engel", "Esposito",
	"Falk", "Fernández", "Fischbach", "Fontaine", "Gallagher", "García", "Grünwald", "Hakimi", "Halvorsen", "Hartmann",
	"Hawthorne", "Hoffmeister",
	"Ibáñez", "Iyer", "Jankowski", "Jansen", "Kaczmarek", "Kessler", "Kobayashi", "Kowalczyk", "Krüger", "Larsson",
	"Leclerc", "Lombardi", "Lundgren",
	"MacAllister", "Marchetti", "Mbeki", "Meijer", "Moreau", "Nakamura", "Nilsson", "Novak", "O'Connor", "O'Malley",
	"Oduya", "Okafor", "Olsson",
	"Pellegrini", "Petrov", "Quinn", "Ramírez", "Rasmussen", "Reinhardt", "Rossi", "Sato", "Schäfer", "Sharma", "Silva",
	"Sørensen", "Stanhope",
	"Tanaka", "Thorne", "Ueda", "Vandermeer", "Vogel", "Wallace", "Weber", "Whitfield", "Wójcik", "Yamamoto", "Zamora",
	"Zielinski"}

var adjectives = []string{"Advanced", "Alpine", "Atlantic", "Baltic", "Blue Harbor", "Bright", "Central", "Coastal",
	"Crystal", "Evergreen", "First",
	"Golden Gate", "Granite", "Highland", "Imperial", "Iron Bridge", "Lakeside", "Meridian", "Northern", "Old Mill",
	"Pacific", "Pioneer", "Prime",
	"Red Oak", "Riverside", "Royal", "Silver Birch", "Southern", "Sterling", "Summit", "Twin Peaks", "United", "Valley",
	"Westland"}

var trades = []string{"Advisory", "Aerospace", "Agri", "Analytics", "Automation", "Bakery", "Biotech", "Brewing",
	"Building Supplies", "Capital",
	"Ceramics", "Chemicals", "Clinics", "Components", "Construction", "Consulting", "Dairy", "Design", "Distribution",
	"Electric", "Energy",
	"Engineering", "Equipment", "Events", "Farms", "Fashion", "Foods", "Freight", "Furniture", "Glass", "Healthcare",
	"Hotels", "Instruments",
	"Insurance Brokers", "Labs", "Legal", "Lighting", "Logistics", "Machinery", "Marine", "Media", "Metals", "Motors",
	"Optics", "Packaging",
	"Paper", "Pharma", "Plastics", "Press", "Properties", "Rail", "Research", "Retail", "Robotics", "Software", "Solar",
	"Steel", "Systems",
	"Textiles", "Timber", "Tools", "Trading", "Water", "Wine Cellars"}

var streets = []string{"Main Street", "Market Square", "Harbour Road", "Station Road", "Mill Lane", "Industrial Park",
	"Kingsway", "River Walk",
	"Bahnhofstraße", "Hauptstraße", "Rue de la Paix", "Via Garibaldi", "Calle Mayor", "Avenida Central", "Park Avenue",
	"Elm Street", "Tech Boulevard"}
