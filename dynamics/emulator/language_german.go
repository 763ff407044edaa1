package emulator

// german are the texts of user interface language 1031 by the English ones. Some are missing on purpose: what an administrator
// adds is often not translated, and falls back to the base language.
var german = map[string]string{
	// industrycode
	"Accounting": "Buchhaltung", "Agriculture and Non-petrol Natural Resource Extraction": "Landwirtschaft und Rohstoffgewinnung (ohne Erdöl)",
	"Broadcasting Printing and Publishing": "Rundfunk, Druck und Verlagswesen", "Brokers": "Makler", "Building Supply Retail": "Baustoffeinzelhandel",
	"Business Services": "Unternehmensdienstleistungen", "Consulting": "Beratung", "Consumer Services": "Verbraucherdienste",
	"Design, Direction and Creative Management": "Design, Regie und Kreativmanagement", "Distributors, Dispatchers and Processors": "Vertrieb, Versand und Verarbeitung",
	"Doctor's Offices and Clinics": "Arztpraxen und Kliniken", "Durable Manufacturing": "Herstellung langlebiger Güter", "Eating and Drinking Places": "Gastronomie",
	"Entertainment Retail": "Einzelhandel für Unterhaltung", "Equipment Rental and Leasing": "Gerätevermietung und Leasing", "Financial": "Finanzen",
	"Food and Tobacco Processing": "Nahrungs- und Tabakverarbeitung", "Inbound Capital Intensive Processing": "Kapitalintensive Eingangsverarbeitung",
	"Inbound Repair and Services": "Reparatur und Wartung im Haus", "Insurance": "Versicherung", "Legal Services": "Rechtsberatung",
	"Non-Durable Merchandise Retail": "Einzelhandel mit Verbrauchsgütern", "Outbound Consumer Service": "Verbraucherdienste vor Ort",
	"Petrochemical Extraction and Distribution": "Petrochemische Förderung und Verteilung", "Service Retail": "Dienstleistungseinzelhandel",
	"SIG Affiliations": "SIG-Mitgliedschaften", "Social Services": "Soziale Dienste", "Special Outbound Trade Contractors": "Spezialisierte Handwerksbetriebe",
	"Specialty Realty": "Spezialimmobilien", "Transportation": "Transport", "Utility Creation and Distribution": "Energie- und Wasserversorgung",
	"Vehicle Retail": "Fahrzeughandel", "Wholesale": "Großhandel",
	// customertypecode
	"Competitor": "Wettbewerber", "Consultant": "Berater", "Customer": "Kunde", "Investor": "Anleger", "Partner": "Partner", "Influencer": "Meinungsbildner",
	"Press": "Presse", "Prospect": "Interessent", "Reseller": "Wiederverkäufer", "Supplier": "Lieferant", "Vendor": "Händler", "Other": "Sonstige",
	// the other option sets; Long Tail, a custom option, has no German text
	"Default Value": "Standardwert", "Key Account": "Schlüsselkunde", "Growth": "Wachstum", "Preferred Customer": "Bevorzugter Kunde", "Standard": "Standardkunde",
	"Public": "Öffentlich", "Private": "Privat", "Subsidiary": "Tochtergesellschaft", "Any": "Beliebig", "Email": "E-Mail", "Phone": "Telefon", "Mail": "Post",
	"Active": "Aktiv", "Inactive": "Inaktiv", "Allow": "Zulassen", "Do Not Allow": "Nicht zulassen", "Yes": "Ja", "No": "Nein", "Enabled": "Aktiviert", "Disabled": "Deaktiviert",
	"Platinum": "Platin", "Gold": "Gold", "Silver": "Silber", "Bronze": "Bronze", "Trade Fair": "Messe", "Postal Mail": "Briefpost",
	"Read-Write": "Lesen/Schreiben", "Administrative": "Verwaltung", "Read": "Lesen", "Support User": "Supportbenutzer", "Non-interactive": "Nicht interaktiv",
	"Delegated Admin": "Delegierter Administrator", "Owner": "Besitzer", "Access": "Zugriff", "Security Group": "Sicherheitsgruppe", "Office Group": "Office-Gruppe",
	"Unmanaged": "Nicht verwaltet", "Managed": "Verwaltet",
	// tables and columns; External Reference, a custom column, has no German name
	"Account": "Firma", "User": "Benutzer", "Team": "Team", "Security Role": "Sicherheitsrolle", "Business Unit": "Unternehmenseinheit", "Privilege": "Recht",
	"Account Name": "Firmenname", "Account Number": "Kundennummer", "Website": "Website", "Main Phone": "Haupttelefon", "Other Phone": "Weiteres Telefon",
	"Description": "Beschreibung", "Ticker Symbol": "Börsenkürzel", "Address 1": "Adresse 1", "Address 1: Street 1": "Adresse 1: Straße 1", "Address 1: City": "Adresse 1: Ort",
	"Address 1: State/Province": "Adresse 1: Bundesland", "Address 1: ZIP/Postal Code": "Adresse 1: Postleitzahl", "Address 1: Country/Region": "Adresse 1: Land/Region",
	"Parent Account": "Übergeordnete Firma", "Primary Contact": "Primärer Kontakt", "Currency": "Währung", "Industry": "Branche", "Classification": "Klassifizierung",
	"Category": "Kategorie", "Relationship Type": "Beziehungsart", "Ownership": "Besitzverhältnisse", "Account Rating": "Firmenbewertung",
	"Preferred Method of Contact": "Bevorzugte Kontaktmethode", "Status": "Status", "Status Reason": "Statusgrund", "Do not allow Emails": "E-Mails nicht zulassen",
	"Do not allow Bulk Emails": "Massen-E-Mails nicht zulassen", "Do not allow Phone Calls": "Telefonanrufe nicht zulassen", "Credit Hold": "Kreditsperre",
	"Number of Employees": "Anzahl der Mitarbeiter", "Annual Revenue": "Jahresumsatz", "Credit Limit": "Kreditlimit", "Created On": "Erstellt am", "Modified On": "Geändert am",
	"Version Number": "Versionsnummer", "Campaign Tier": "Kampagnenstufe", "Lead Score": "Lead-Bewertung", "Channels": "Kanäle", "Last Campaign": "Letzte Kampagne",
	"Full Name": "Vollständiger Name", "Primary Email": "Primäre E-Mail", "User Name": "Benutzername", "Title": "Titel", "Job Title": "Position", "Access Mode": "Zugriffsmodus",
	"Name": "Name", "Team Name": "Teamname", "Team Type": "Teamtyp",
}
