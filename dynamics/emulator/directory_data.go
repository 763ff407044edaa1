package emulator

import "slices"

// The invented organization. Roles differ in what they may read, so that every refusal can be provoked by a user.

var businessUnits = []string{"Contoso", "Contoso EMEA", "Contoso Asia-Pacific"}

// The privileges that routes ask for. prvReadEntity, prvReadAttribute and prvReadOptionSet are those of metadata.
const (
	readAccount      = "prvReadAccount"
	readContact      = "prvReadContact"
	readUser         = "prvReadUser"
	readRole         = "prvReadRole"
	readTeam         = "prvReadTeam"
	readBusinessUnit = "prvReadBusinessUnit"
	readSettings     = "prvReadUserSettings"
	readPrivilege    = "prvReadPrivilege"
	readEntity       = "prvReadEntity"
	readAttribute    = "prvReadAttribute"
	readOptionSet    = "prvReadOptionSet"
	readOrganization = "prvReadOrganization"
	readProfile      = "prvReadFieldSecurityProfile"
	readPermission   = "prvReadFieldPermission"
)

// roleTemplate is a role; without says what it lacks of what nearly every role has.
type roleTemplate struct {
	name    string
	managed bool
	rows    Depth            // of reading the tables whose rows the store keeps
	tables  map[string]Depth // of single ones of them, by privilege
	more    []string
	without []string
}

var common = []string{readUser, readRole, readTeam, readBusinessUnit, readSettings, readPrivilege, readEntity,
	readAttribute, readOptionSet, readOrganization}

// fieldSecurity is what reading who may read secured columns takes: "typically, only system administrators have the
// prvReadFieldPermission privilege" ("Column-level security with code").
var fieldSecurity = []string{readProfile, readPermission}

// grants are the privileges with their depths, but for those over tables whose rows the store keeps: see [role.depth].
func (r roleTemplate) grants() map[string]Depth {
	out := map[string]Depth{}
	for _, p := range common {
		if !slices.Contains(r.without, p) {
			out[p] = DepthGlobal
		}
	}
	for _, p := range r.more {
		out[p] = DepthGlobal
	}
	return out
}

var roleTemplates = []roleTemplate{
	{name: administrator, managed: true, rows: DepthGlobal,
		more: append([]string{"prvWriteAccount", "prvCreateAccount", "prvDeleteAccount"}, fieldSecurity...)},
	{name: "System Customizer", managed: true, rows: DepthGlobal},
	{name: "Basic User", managed: true},
	{name: "Salesperson", managed: true, rows: DepthGlobal, more: []string{"prvWriteAccount"}},
	{name: "Marketing Professional", managed: true, rows: DepthGlobal},
	{name: "Campaign Reader", rows: DepthGlobal},
	{name: "Account Reader Only", tables: map[string]Depth{readAccount: DepthGlobal}, without: common},
	{name: "No Role Reader", rows: DepthGlobal, without: []string{readRole}},
	{name: "No Team Reader", rows: DepthGlobal, without: []string{readTeam}},
	{name: "No User Reader", rows: DepthGlobal, without: []string{readUser}},
	{name: "No Entity Reader", rows: DepthGlobal, without: []string{readEntity}},
	{name: "No Attribute Reader", rows: DepthGlobal, without: []string{readAttribute}},
	{name: "Own Accounts Reader", rows: DepthBasic},
	{name: "Unit Accounts Reader", rows: DepthLocal},
	{name: "Unit Tree Accounts Reader", rows: DepthDeep},
	{name: "No Contact Reader", rows: DepthGlobal, tables: map[string]Depth{readContact: DepthNone}},
	{name: "Own Contacts Reader", rows: DepthGlobal, tables: map[string]Depth{readContact: DepthBasic}},
	{name: "Field Security Reader", rows: DepthGlobal, more: fieldSecurity},
}

const administrator = "System Administrator"

// standardTemplates are the role templates of roles that Microsoft ships; they have the same ids in
// every environment
// (https://learn.microsoft.com/power-apps/developer/data-platform/security-roles#standard-role-templates).
// Basic User is the present name of Common Data Service User.
var standardTemplates = map[string]guid{
	administrator:            mustGUID("627090ff-40a3-4053-8790-584edc5be201"),
	"System Customizer":      mustGUID("119f245c-3cc8-4b62-b31c-d1a046ced15d"),
	"Basic User":             mustGUID("236750cd-45ae-4939-ab12-b24b920ced93"),
	"Salesperson":            mustGUID("a4be89ff-7c35-4d69-9900-999c3f603e6f"),
	"Marketing Professional": mustGUID("09a25608-d28b-4d47-b57c-79271fe6a525"),
}

func mustGUID(text string) guid {
	id, ok := parseGUID(text)
	if !ok {
		panic("emulator: no GUID: " + text)
	}
	return id
}

type teamTemplate struct {
	name, unit string
	kind       int // 0 owner, 1 access, 2 security group, 3 office group
	roles      []string
}

var teamTemplates = []teamTemplate{
	{"Contoso", "Contoso", 0, nil},
	{"Key Accounts", "Contoso", 0, []string{"Salesperson"}},
	{"Campaigns EMEA", "Contoso EMEA", 2, []string{"Campaign Reader", "Basic User"}},
	{"Vertrieb Österreich & Süd", "Contoso EMEA", 0, []string{"Salesperson", "Campaign Reader"}},
	{"Project Aurora", "Contoso", 1, nil},
}

var builtinUsers = []User{
	{Name: "Ada Lindqvist", UserName: DefaultUser, Title: "Dr.", JobTitle: "Head of CRM",
		Roles: []string{"System Administrator"}, Teams: []string{"Contoso"}},
	{Name: "Tomás Ferreira", UserName: "tomas.ferreira@contoso.example", JobTitle: "Campaign planner",
		Roles: []string{"Campaign Reader"}, Teams: []string{"Contoso", "Key Accounts"}},
	{Name: "Grace Okonkwo", UserName: "grace.okonkwo@contoso.example", JobTitle: "Sales manager",
		Roles: []string{"Salesperson", "Basic User"}, Teams: []string{"Key Accounts"}},
	{Name: "Jürgen Weiß", UserName: "juergen.weiss@contoso.example", Title: "Herr", Language: 1031,
		BusinessUnit: "Contoso EMEA", Roles: []string{"Basic User"},
		Teams: []string{"Campaigns EMEA", "Vertrieb Österreich & Süd"}},
	{Name: "Siobhán O'Rourke", UserName: "siobhan.orourke@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Marketing Professional"}},
	{Name: "田中 美咲", UserName: "misaki.tanaka@contoso.example", BusinessUnit: "Contoso Asia-Pacific",
		Roles: []string{"Salesperson"}},
	{Name: "王伟", UserName: "wei.wang@contoso.example", BusinessUnit: "Contoso Asia-Pacific",
		Roles: []string{"Campaign Reader"}},
	{Name: "ليلى حداد", UserName: "leila.haddad@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Salesperson"}},
	{Name: "נועה לוי", UserName: "noa.levi@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Salesperson"}},
	{Name: "Олександр Шевчук", UserName: "oleksandr.shevchuk@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Marketing Professional"}},
	{Name: "김서연", UserName: "seoyeon.kim@contoso.example", BusinessUnit: "Contoso Asia-Pacific",
		Roles: []string{"Basic User"}},
	{Name: "Priya Raghunathan", UserName: "priya.raghunathan@contoso.example", BusinessUnit: "Contoso Asia-Pacific",
		Roles: []string{"System Customizer"}},
	{Name: "Mehmet Yılmaz", UserName: "mehmet.yilmaz@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Salesperson"}},
	{Name: "Ελένη Παπαδοπούλου", UserName: "eleni.papadopoulou@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Salesperson"}},
	{Name: "Łukasz Żak", UserName: "lukasz.zak@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Salesperson"}},
	{Name: "Desmond \"Des\" Clarke", UserName: "desmond.clarke@contoso.example", Roles: []string{"Salesperson"}},
	// One mailbox, two users: the one who left is disabled.
	{Name: "Marta Nowak", UserName: "marta.nowak@contoso.example", Email: "sales.desk@contoso.example",
		Roles: []string{"Salesperson"}},
	{Name: "Henrik Dahl", UserName: "henrik.dahl@contoso.example", Email: "sales.desk@contoso.example", Disabled: true,
		Roles: []string{"Salesperson"}},
	{Name: "No Roles", UserName: "no.roles@contoso.example"},
	// Each lacks one privilege that crmbridge needs.
	{Name: "No Accounts", UserName: "no.accounts@contoso.example", Roles: []string{"Basic User"}},
	{Name: "No Users", UserName: "no.users@contoso.example", Roles: []string{"No User Reader"}},
	{Name: "No Role Reader", UserName: "no.rolereader@contoso.example", Roles: []string{"No Role Reader"}},
	{Name: "No Teams", UserName: "no.teams@contoso.example", Roles: []string{"No Team Reader"}},
	{Name: "No Entities", UserName: "no.entities@contoso.example", Roles: []string{"No Entity Reader"}},
	{Name: "No Attributes", UserName: "no.attributes@contoso.example", Roles: []string{"No Attribute Reader"}},
	// They see labels and formats in another language, with every privilege.
	{Name: "Liesel Brandstätter", UserName: GermanUser, Language: 1031, Roles: []string{"System Administrator"}},
	{Name: "Élodie Garnier", UserName: FrenchUser, Language: 1036, Roles: []string{"System Administrator"}},
	// They do not see every account.
	{Name: "Own Accounts", UserName: "own.accounts@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Own Accounts Reader"}},
	{Name: "Unit Accounts", UserName: "unit.accounts@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Unit Accounts Reader"}},
	// They do not see every contact, and none.
	{Name: "Own Contacts", UserName: "own.contacts@contoso.example", BusinessUnit: "Contoso EMEA",
		Roles: []string{"Own Contacts Reader"}},
	{Name: "No Contacts", UserName: "no.contacts@contoso.example", Roles: []string{"No Contact Reader"}},
	{Name: "Guest Visitor", UserName: "guest.visitor@partner.example", NotMember: true},
	{Name: "# crmbridge integration", UserName: "crmbridge@contoso.example", ApplicationID: "{client}",
		Roles: []string{"Campaign Reader"}},
}
