// Package emulator is Microsoft Entra ID and one Dataverse environment over real HTTP, for tests
// and for trying crmbridge without a tenant. It checks what the real services check, answers in
// their forms and refuses in their words; a client that works here by luck is a defect of this
// package.
//
//	s, err := emulator.New(emulator.Options{AutoConsent: true})
//	srv := httptest.NewServer(s)
//	// authority:   srv.URL + "/" + emulator.DefaultTenantID
//	// environment: srv.URL
//
// One server plays both services on one origin. Its own addresses are derived from each request's
// Host and scheme, so it can stand behind any listener; a token for http://127.0.0.1:8999 is not
// one for http://localhost:8999, as with real environments.
//
// # What is there
//
//   - Entra: authorize (sign-in page, or at once with AutoConsent), admin consent in both versions, token (authorization_code with
//     PKCE, refresh_token, client_credentials), openid-configuration, keys, instance discovery. The application proves itself by
//     secret, by an assertion that is signed with one of [Options.ClientCertificates] (RS256 or PS256; x5t#S256 or x5t in either
//     base64 alphabet), or by a token of one of [Options.FederatedCredentials].
//   - Dataverse: WhoAmI, accounts, contacts and leads, systemusers, teams, roles, field security profiles and the relations between
//     them, business units, privileges and usersettings, the functions that tell of privileges, their metadata, the service document
//     and $metadata; column-level security; tables that a test adds ([Control.AddTable]);
//     $select, $filter with query functions, $orderby, $top, $count, $apply, RetrieveTotalRecordCount, $expand of roles,
//     server-driven paging with Dataverse's own cookies, and without them in the order of a lookup, annotations, change tracking
//     with a recycle bin, $batch, conditional reads and the error bodies of the Web API. About half of the choices use
//     global ones, labels without a translation have none in the user's language, and isprivate is no property of the Web API.
//   - Service protection limits, per user and web server: see [Limits].
//   - Control: [Server.Control] in the process, /_emulator/ over HTTP, on loopback names only.
//
// # Control over HTTP
//
// GET answers with JSON, POST changes something; user is a UserName, and off=1 takes back what can
// be taken back. table is an entity set, accounts where it is left out.
//
//	GET  /_emulator/counts                    what was asked so far (Counts)
//	GET  /_emulator/users                     who may sign in
//	GET  /_emulator/grants                    the sign-ins that left a refresh token (Grant)
//	POST /_emulator/reset                     count from zero
//	POST /_emulator/expire                    every access token so far: 401
//	POST /_emulator/lifetime?seconds=         of the access tokens to come; 0 is the normal one
//	POST /_emulator/revoke?user=|grant=       refresh tokens of a user, of one sign-in, or all: AADSTS50173
//	POST /_emulator/expire-refresh?user=      refresh tokens of a user, or all: AADSTS700082
//	POST /_emulator/password?user=            an administrator's reset: AADSTS50173
//	POST /_emulator/block?user=               the account is disabled at Entra: AADSTS50057
//	POST /_emulator/mfa?user=                 a second factor is required: AADSTS50076 until the next sign-in
//	POST /_emulator/withdraw?user=            consent is taken back: AADSTS65001 until it is given again
//	POST /_emulator/secret-expired            the client secret: AADSTS7000222
//	POST /_emulator/admin-consent             users may not consent: AADSTS90094 until an administrator has
//	POST /_emulator/claims                    with a JSON object: Dataverse's claims challenge; with nothing: none
//	POST /_emulator/tracking[?table=]         change tracking of a table, or of all, is on; off=1 switches it off
//	POST /_emulator/expire-changes            every delta token so far: 0x80044352
//	POST /_emulator/withhold?user=&privilege=[&depth=] takes a privilege of Dataverse's, or cuts it to Basic, Local or Deep
//	POST /_emulator/language?user=&lcid=      the user's labels and formats: 1033 English, 1031 German, 1036 French
//	POST /_emulator/app-blocked               Dataverse refuses the application: 0x80095ffc
//	POST /_emulator/option?column=&value=&label=[&lcid=][&table=] adds an option to a choice, or gives it another label; off=1 removes it
//	POST /_emulator/column?column=&label=[&lcid=][&type=][&table=] adds a custom column, or gives one another name; off=1 removes it
//	POST /_emulator/secure?column=[&table=]   secures a column; off=1 takes that back
//	POST /_emulator/profile[?name=]           with a FieldSecurityProfile as JSON: puts it; off=1 deletes the one called name
//	POST /_emulator/table[?name=]             with a Table as JSON: adds it; off=1 removes the added one whose set is name
//	POST /_emulator/created[?id=&at=][&table=] with a list of Created as JSON: when all rows were created; with id= and at= when one was, off=1 for never
//	POST /_emulator/record-count?count=[&table=] what RetrieveTotalRecordCount tells; off=1: what was counted
//	POST /_emulator/dop-hint?value=           what x-ms-dop-hint recommends; off=1: it is not sent
//	POST /_emulator/sales                     the environment has Dynamics 365 Sales; off=1: it has not
//	POST /_emulator/row[?table=]              with a row as JSON: puts it; with off=1 and id= deletes one
//	POST /_emulator/fail                      with a Fault as JSON: throttle, delay, break or refuse requests to come
//	POST /_emulator/clear                     drop the faults that have not struck
//
// For instance, the next three token requests are throttled, then one finds a gateway that is down,
// then one is refused:
//
//	{"where":"token","kind":"throttle","retry_after":5,"times":3}
//	{"where":"token","kind":"gateway"}
//	{"where":"token","number":50078,"suberror":"basic_action"}
//
// A soak run has every twentieth data request fail, every hundredth body come slowly and the next
// nextLink that is followed be one that Dataverse no longer takes:
//
//	{"kind":"unavailable","probability":0.05,"seed":7}
//	{"kind":"slow","probability":0.01,"drip_bytes":64,"drip_every":"20ms"}
//	{"kind":"bad-cookie"}
//
// Of the faults that apply to a request the first one that was queued strikes. So every tenth page
// fails in one of many ways, and all others take 300 ms:
//
//	{"route":"accounts","probability":0.1,"seed":7,"retry_after":2,"kinds":["throttle","error","gateway","unavailable","reset","truncate","slow"]}
//	{"route":"accounts","delay":"300ms","times":-1}
//
// Most rows were created within one hour, some without leaving a time:
//
//	[{"percent":70,"from":"2024-01-01T08:00:00Z","span":"1h"},{"percent":1,"null":true}]
//
// Searches are held back for what they cost, half of the tries, with a status of one's own:
//
//	{"kind":"query-throttle","route":"accounts","probability":0.5,"status":400}
//
// The kinds are throttle, gateway, unavailable, timeout, error, portal, cut-json, bad-cookie,
// query-throttle, query-timeout, reset, truncate and slow; [Fault] has all members. crmbridge-dev
// takes the same objects as --fault.
//
// # Who may see what, and in which language
//
// Every route asks for its privilege: prvReadAccount, prvReadContact, prvReadLead, prvReadUser,
// prvReadRole, prvReadTeam, prvReadBusinessUnit, prvReadPrivilege, prvReadUserSettings,
// prvReadFieldSecurityProfile, prvReadFieldPermission; metadata for prvReadEntity, below a table
// for prvReadAttribute too. Roles give a privilege with a depth: who has prvReadAccount for his own
// rows (Basic), his business unit (Local) or the units below too (Deep) sees those rows, and the
// others are silently absent; one of them by its key is 0x80048306. Change tracking needs the whole
// organization. Built-in users lack one privilege each (no.accounts@contoso.example and so on),
// others see some of the rows (own.accounts@, unit.accounts@, own.contacts@); [Options.Users] and
// [Control.Withhold] make any other case. A column that is secured ([TableControl.Secure]) is null
// for whom no field security profile ([Control.PutProfile]) lets read it, in rows as in filters;
// administrators read all (security.go). RetrievePrincipalAttributePrivileges of a user or team
// tells which secured columns profiles let be read.
//
// A user has a language: labels of metadata, formatted values of choices, numbers, money and dates
// follow it. [GermanUser] and [FrenchUser] may do everything; [User.Language] and
// [Control.SetLanguage] set it. Labels that have no translation come in English, the base language.
// The texts are translations of this package's, not Microsoft's, and the formats are those of the
// Windows locales.
//
// # What changes while programs run
//
// The methods of [TableControl] ([Control.Table]) do what an administrator does in the maker
// portal, so that what a program keeps of the metadata is no longer true: labels change in single
// languages, two options have one label, columns are gone or come back with another type.
//
// # What differs from the real thing
//
// There is no write access and no FetchXML; such requests are refused, never answered emptily. How
// Dataverse finds Retry-After is not documented: here it is the time until the window has room
// again, and whoever goes on sending meanwhile waits longer (limits.go). For want of write access
// every change set of a $batch is refused by its first operation; what a batch says about broken
// framing beyond the documented "Stream was not readable." are the words of Microsoft's OData
// library. URLs that are too long are refused as IIS does (limits_url.go). Impersonation headers
// have no effect. Filters over related tables (primarycontactid/fullname, any, all) are refused
// too. A sign-in asks for no password and no second factor: it counts as having had what was
// required. A person who was refused for want of an administrator's consent is sent back at once,
// and whoever opens the admin-consent page is an administrator. An assertion may be used again
// until it expires, as at Entra, unless [Options.SingleUseAssertions]. Federated issuers are not
// asked for their keys. Continuous access evaluation has no capability check: every client gets the
// challenge. Change tracking is on for accounts, contacts and leads. Its rules are those of the
// documentation; where the stamp at the end of a chain of pages comes from, and what the skip
// tokens hold, is this package's own (changes.go), and links are opaque. At most 100,000 deletions
// of a table are remembered; a token from before the oldest of them is expired, as one older than
// seven days is. A 304 lacks the Content-Type that Dataverse sends, which net/http does not let
// through; within a batch it is there. Query functions over hierarchies, fiscal periods, business
// units and teams are refused; how those over dates read their spans is told in filter_date.go.
// Whether the negative operators but ne match columns without a value is not known of the real
// service: [Options.NegativesSkipNull] gives the other answer. The average of whole numbers is cut
// to one. RetrieveTotalRecordCount tells what was counted when the server was made, or up to a day
// ago. A row that is put with a createdon keeps it, as with overriddencreatedon, which is no column
// here. x-ms-dop-hint is 4 on every answer of Dataverse, refusals too, as seen; what real
// environments recommend at other sizes is not known. Metadata cannot be asked for relationships,
// keys and global option sets, and $filter on EntityDefinitions is refused, as some real
// environments do; which privilege refers to which object type code, what the functions about
// privileges ask for themselves, and the words for a privilege of too small a depth are guesses.
// Members of metadata on which nothing here depends have made-up values. Text is compared without
// case but with accents, and sorted by code point. Trailing blanks of a stored text count where a
// LIKE pattern stands behind (contains, startswith, endswith) and not for eq, ne, In and orders:
// what SQL Server does with nvarchar. The time zone of formatted values is UTC-07:00 for everybody,
// as in Microsoft's samples.
//
// All people, companies, addresses and numbers are invented; e-mail addresses and sites are under example names.
package emulator
