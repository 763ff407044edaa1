package emulator

// french are the texts of user interface language 1036 by the English ones, with gaps like the German ones.
var french = map[string]string{
	// industrycode
	"Accounting": "Comptabilité", "Agriculture and Non-petrol Natural Resource Extraction": "Agriculture et extraction de ressources naturelles non pétrolières",
	"Broadcasting Printing and Publishing": "Diffusion, impression et édition", "Brokers": "Courtiers", "Building Supply Retail": "Vente de matériaux de construction",
	"Business Services": "Services aux entreprises", "Consulting": "Conseil", "Consumer Services": "Services aux consommateurs",
	"Design, Direction and Creative Management": "Conception, direction et gestion créative", "Distributors, Dispatchers and Processors": "Distributeurs, expéditeurs et transformateurs",
	"Doctor's Offices and Clinics": "Cabinets médicaux et cliniques", "Durable Manufacturing": "Fabrication de biens durables", "Eating and Drinking Places": "Restaurants et débits de boissons",
	"Entertainment Retail": "Vente de produits de loisirs", "Equipment Rental and Leasing": "Location et crédit-bail d'équipements", "Financial": "Finance",
	"Food and Tobacco Processing": "Transformation d'aliments et de tabac", "Inbound Capital Intensive Processing": "Traitement entrant à forte intensité de capital",
	"Inbound Repair and Services": "Réparation et services entrants", "Insurance": "Assurance", "Legal Services": "Services juridiques",
	"Non-Durable Merchandise Retail": "Vente de biens non durables", "Outbound Consumer Service": "Service sortant aux consommateurs",
	"Petrochemical Extraction and Distribution": "Extraction et distribution pétrochimiques", "Service Retail": "Vente de services",
	"SIG Affiliations": "Affiliations SIG", "Social Services": "Services sociaux", "Special Outbound Trade Contractors": "Entrepreneurs spécialisés",
	"Specialty Realty": "Immobilier spécialisé", "Transportation": "Transport", "Utility Creation and Distribution": "Production et distribution d'énergie",
	"Vehicle Retail": "Vente de véhicules", "Wholesale": "Commerce de gros",
	// customertypecode
	"Competitor": "Concurrent", "Consultant": "Consultant", "Customer": "Client", "Investor": "Investisseur", "Partner": "Partenaire", "Influencer": "Influenceur",
	"Press": "Presse", "Prospect": "Prospect", "Reseller": "Revendeur", "Supplier": "Fournisseur", "Vendor": "Vendeur", "Other": "Autre",
	// the other option sets; Long Tail and Webinar have no French text
	"Default Value": "Valeur par défaut", "Key Account": "Compte clé", "Growth": "Croissance", "Preferred Customer": "Client privilégié",
	"Public": "Publique", "Private": "Privée", "Subsidiary": "Filiale", "Any": "Toutes", "Email": "Courriel", "Phone": "Téléphone", "Fax": "Télécopie", "Mail": "Courrier",
	"Active": "Actif", "Inactive": "Inactif", "Allow": "Autoriser", "Do Not Allow": "Ne pas autoriser", "Yes": "Oui", "No": "Non", "Enabled": "Activé", "Disabled": "Désactivé",
	"Platinum": "Platine", "Gold": "Or", "Silver": "Argent", "Bronze": "Bronze", "Trade Fair": "Salon professionnel", "Postal Mail": "Courrier postal",
	"Owner": "Propriétaire", "Access": "Accès", "Security Group": "Groupe de sécurité", "Office Group": "Groupe Office",
	// tables and columns; the custom columns but one have French names
	"Account": "Compte", "User": "Utilisateur", "Team": "Équipe", "Security Role": "Rôle de sécurité", "Business Unit": "Division", "Privilege": "Privilège",
	"Account Name": "Nom du compte", "Account Number": "Numéro de compte", "Website": "Site web", "Main Phone": "Téléphone principal", "Other Phone": "Autre téléphone",
	"Address 1": "Adresse 1", "Address 1: Street 1": "Adresse 1 : rue 1", "Address 1: City": "Adresse 1 : ville", "Address 1: State/Province": "Adresse 1 : département",
	"Address 1: ZIP/Postal Code": "Adresse 1 : code postal", "Address 1: Country/Region": "Adresse 1 : pays/région", "Parent Account": "Compte parent",
	"Primary Contact": "Contact principal", "Currency": "Devise", "Industry": "Secteur d'activité", "Classification": "Classification", "Category": "Catégorie",
	"Relationship Type": "Type de relation", "Ownership": "Propriété", "Account Rating": "Évaluation du compte", "Preferred Method of Contact": "Mode de contact préféré",
	"Status": "Statut", "Status Reason": "Raison du statut", "Do not allow Emails": "Ne pas autoriser les courriels", "Do not allow Bulk Emails": "Ne pas autoriser les courriels en nombre",
	"Do not allow Phone Calls": "Ne pas autoriser les appels", "Credit Hold": "Suspension du crédit", "Number of Employees": "Nombre d'employés",
	"Annual Revenue": "Chiffre d'affaires annuel", "Credit Limit": "Limite de crédit", "Created On": "Date de création", "Modified On": "Date de modification",
	"Version Number": "Numéro de version", "Campaign Tier": "Niveau de campagne", "Lead Score": "Score du prospect", "Channels": "Canaux", "Last Campaign": "Dernière campagne",
	"Full Name": "Nom complet", "Primary Email": "Adresse principale", "User Name": "Nom d'utilisateur", "Title": "Titre", "Job Title": "Fonction", "Name": "Nom",
}
