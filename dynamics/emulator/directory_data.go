package emulator

import "slices"

// The invented organization. Roles differ in what they may read, so that every refusal can be provoked by a user.

var businessUnits = []string{"Contoso", "Contoso EMEA", "Contoso Asia-Pacific"}

// The privileges that routes ask for. prvReadEntity, prvReadAttribute and prvReadOptionSet are those of metadata.
const (
	readAccount      = "prvReadAccount"
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
)

// roleTemplate is a role; without says what it lacks of what nearly every role has.
type roleTemplate struct {
	name     string
	managed  bool
	accounts Depth // of prvReadAccount
	more     []string
	without  []string
}

var common = []string{readUser, readRole, readTeam, readBusinessUnit, readSettings, readPrivilege, readEntity, readAttribute, readOptionSet, readOrganization}

// grants are the privileges with their depths; all but those over accounts are the organization's.
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
	if r.accounts > DepthNone {
		out[readAccount] = r.accounts
	}
	return out
}

var roleTemplates = []roleTemplate{
	{"System Administrator", true, DepthGlobal, []string{"prvWriteAccount", "prvCreateAccount", "prvDeleteAccount"}, nil},
	{"System Customizer", true, DepthGlobal, nil, nil},
	{"Basic User", true, DepthNone, nil, nil},
	{"Salesperson", true, DepthGlobal, []string{"prvWriteAccount"}, nil},
	{"Marketing Professional", true, DepthGlobal, nil, nil},
	{"Campaign Reader", false, DepthGlobal, nil, nil},
	{"Account Reader Only", false, DepthGlobal, nil, common},
	{"No Role Reader", false, DepthGlobal, nil, []string{readRole}},
	{"No Team Reader", false, DepthGlobal, nil, []string{readTeam}},
	{"No User Reader", false, DepthGlobal, nil, []string{readUser}},
	{"No Entity Reader", false, DepthGlobal, nil, []string{readEntity}},
	{"No Attribute Reader", false, DepthGlobal, nil, []string{readAttribute}},
	{"Own Accounts Reader", false, DepthBasic, nil, nil},
	{"Unit Accounts Reader", false, DepthLocal, nil, nil},
	{"Unit Tree Accounts Reader", false, DepthDeep, nil, nil},
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
	{Name: "Ada Lindqvist", UserName: DefaultUser, Title: "Dr.", JobTitle: "Head of CRM", Roles: []string{"System Administrator"}, Teams: []string{"Contoso"}},
	{Name: "Tomás Ferreira", UserName: "tomas.ferreira@contoso.example", JobTitle: "Campaign planner", Roles: []string{"Campaign Reader"}, Teams: []string{"Contoso", "Key Accounts"}},
	{Name: "Grace Okonkwo", UserName: "grace.okonkwo@contoso.example", JobTitle: "Sales manager", Roles: []string{"Salesperson", "Basic User"}, Teams: []string{"Key Accounts"}},
	{Name: "Jürgen Weiß", UserName: "juergen.weiss@contoso.example", Title: "Herr", Language: 1031, BusinessUnit: "Contoso EMEA", Roles: []string{"Basic User"}, Teams: []string{"Campaigns EMEA", "Vertrieb Österreich & Süd"}},
	{Name: "Siobhán O'Rourke", UserName: "siobhan.orourke@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Marketing Professional"}},
	{Name: "田中 美咲", UserName: "misaki.tanaka@contoso.example", BusinessUnit: "Contoso Asia-Pacific", Roles: []string{"Salesperson"}},
	{Name: "王伟", UserName: "wei.wang@contoso.example", BusinessUnit: "Contoso Asia-Pacific", Roles: []string{"Campaign Reader"}},
	{Name: "ليلى حداد", UserName: "leila.haddad@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Salesperson"}},
	{Name: "נועה לוי", UserName: "noa.levi@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Salesperson"}},
	{Name: "Олександр Шевчук", UserName: "oleksandr.shevchuk@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Marketing Professional"}},
	{Name: "김서연", UserName: "seoyeon.kim@contoso.example", BusinessUnit: "Contoso Asia-Pacific", Roles: []string{"Basic User"}},
	{Name: "Priya Raghunathan", UserName: "priya.raghunathan@contoso.example", BusinessUnit: "Contoso Asia-Pacific", Roles: []string{"System Customizer"}},
	{Name: "Mehmet Yılmaz", UserName: "mehmet.yilmaz@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Salesperson"}},
	{Name: "Ελένη Παπαδοπούλου", UserName: "eleni.papadopoulou@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Salesperson"}},
	{Name: "Łukasz Żak", UserName: "lukasz.zak@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Salesperson"}},
	{Name: "Desmond \"Des\" Clarke", UserName: "desmond.clarke@contoso.example", Roles: []string{"Salesperson"}},
	// One mailbox, two users: the one who left is disabled.
	{Name: "Marta Nowak", UserName: "marta.nowak@contoso.example", Email: "sales.desk@contoso.example", Roles: []string{"Salesperson"}},
	{Name: "Henrik Dahl", UserName: "henrik.dahl@contoso.example", Email: "sales.desk@contoso.example", Disabled: true, Roles: []string{"Salesperson"}},
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
	{Name: "Own Accounts", UserName: "own.accounts@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Own Accounts Reader"}},
	{Name: "Unit Accounts", UserName: "unit.accounts@contoso.example", BusinessUnit: "Contoso EMEA", Roles: []string{"Unit Accounts Reader"}},
	{Name: "Guest Visitor", UserName: "guest.visitor@partner.example", NotMember: true},
	{Name: "# crmbridge integration", UserName: "crmbridge@contoso.example", ApplicationID: "{client}", Roles: []string{"Campaign Reader"}},
}
