package tokens

// byError, bySuberror and byNumber are the table of verdicts. The OAuth error code
// decides; the suberror and the AADSTS number refine it (judge has the order).
// VERDICTS.md is made from it. Source: Microsoft's reference of authentication
// error codes, https://learn.microsoft.com/entra/identity-platform/reference-error-codes;
// of its numbers those are here that a confidential web application can be
// answered with. Others are for SAML, devices, passwords on premises and the like,
// and count by their error code.
var byError = map[string]class{
	"invalid_grant": classPerson, "interaction_required": classPerson, "login_required": classPerson,
	"consent_required": classConsent, "access_denied": classConsent,
	"invalid_client": classConfiguration, "unauthorized_client": classConfiguration,
	"unsupported_grant_type": classConfiguration, "unsupported_response_type": classConfiguration,
	"invalid_scope": classConfiguration, "invalid_resource": classConfiguration, "invalid_request": classConfiguration,
	"temporarily_unavailable": classLater, "server_error": classLater,
}

var bySuberror = map[string]meaning{
	"basic_action": {class: classPerson, hint: "the sign-in page asks for what is missing"},
	"additional_action": {class: classPerson, who: ActorAdministrator,
		hint: "something outside the sign-in page must be done first, such as enrolling the device; the directory's " +
			"administrator knows what"},
	"message_only": {class: classPerson, who: ActorAdministrator,
		hint: "the directory's policy forbids it, and signing in again does not help by itself; its " +
			"administrator must " +
			"allow it"},
	"user_password_expired": {class: classPerson, hint: "the user's password has expired; it must be changed " +
		"first"},
	"bad_token":     {class: classPerson, hint: "the grant is not valid any more"},
	"token_expired": {class: classPerson, hint: "the grant has expired"},
	"device_authentication_failed": {class: classPerson, who: ActorAdministrator,
		hint: "the directory's policy asks for a known device; its administrator must exempt the application"},
	"protection_policy_required": {class: classPerson, who: ActorAdministrator,
		hint: "the directory's policy asks for a protected app, which a server cannot be; its " +
			"administrator must exempt " +
			"the application"},
	"consent_required": {class: classConsent, hint: "the application has no consent, or it was withdrawn; " +
		"the person or an administrator must consent"},
	"client_mismatch": {class: classConfiguration, hint: "the grant was given to another application; " +
		"check ENTRA_CLIENT_ID"},
}

// ofAll are the numbers of classConfiguration that speak of how the application proves
// itself, in whichever directory. The others name a directory, or what it let in.
var ofAll = map[int]bool{
	7000215: true, 70002: true, 7000222: true, 7000218: true, 700025: true, 700027: true, 700030: true,
	50012: true, 50013: true, 70021: true, 700211: true, 700212: true, 700213: true,
	50003: true, 50027: true, 50048: true, 50146: true, 501461: true, 700229: true, 900384: true,
}

const (
	hintPassword = "the user's password has expired; it must be changed first"
	hintRevoked  = "the grant was revoked, for example by a password reset or by an administrator"
	hintMFA      = "the directory demands multi-factor authentication, which the sign-in page asks for"
	hintMFASetUp = "multi-factor authentication must be set up, which the sign-in page asks for"
	hintDevice   = "the directory's policy asks for a known device; its administrator must exempt the application"
	hintPolicy   = "a Conditional Access policy forbids it; the directory's administrator must allow it"
	hintConsent  = "the application has no consent, or it was withdrawn; the person or an administrator must consent"
	hintAppGone  = "ENTRA_CLIENT_ID is not known in this directory, or the directory's administrator has removed " +
		"the application there"
	hintRights = "the app registration lacks the permission Dynamics CRM user_impersonation, or the directory has " +
		"no Dataverse"
	hintSecret    = "ENTRA_CLIENT_SECRET is wrong; it must be the value, not the id, of a client secret"
	hintFederated = "no federated credential of the app registration matches issuer, subject and audience of the " +
		"federated token; compare them at Certificates & secrets"
	hintCloud   = "the directory is in another cloud; check ENTRA_AUTHORITY_URL"
	hintTenant  = "a single directory is needed; give tenant"
	hintScope   = "Entra does not take the scope; check the environment URL"
	hintCode    = "the authorization code was used, has expired or belongs to another sign-in"
	hintReply   = "PUBLIC_URL/oauth/callback is not registered as a redirect URL of the app registration"
	hintForeign = "the account does not belong to this directory; sign in with one of it, or its administrator " +
		"invites the account as a guest"
	hintTenancy = "a policy about access between directories forbids it; an administrator of the customer's " +
		"directory must allow it (External Identities, Cross-tenant access settings)"
	hintRisk = "the account is blocked or at risk; an administrator of the customer's directory must look at " +
		"its sign-ins and unblock it"
	hintFederation = "the directory's own identity provider failed; its administrator must look at it"
	hintSession    = "the browser's session at Microsoft is not usable; sign in again"
	hintRequest    = "Entra does not take the request as it is: a defect, or a proxy that changes it; report it"
	dataverseApp   = "the enterprise application Dataverse (00000007-0000-0000-c000-000000000000) in the Microsoft " +
		"Entra admin center, Enterprise applications, All applications"
	hintNoDataverse = "the customer's directory does not know Dataverse for this environment: its administrator must " +
		"see that a subscription with Dataverse (Dynamics 365 or Power Apps) is active and that there is " +
		dataverseApp +
		"; check environment URL and tenant too"
	hintDataverseOff = "Dataverse is switched off in the customer's directory, or its subscription has lapsed: an " +
		"administrator of that directory must renew it, or enable " + dataverseApp +
		", Properties, Enabled for users to sign-in"
	hintAssertion = "the client assertion is out of its time; check this machine's clock, and that the federated " +
		"token's file is renewed"
)

var byNumber = map[int]meaning{
	54005: {class: classCode, hint: hintCode}, 700005: {class: classCode, hint: hintCode},
	501481: {class: classCode, hint: hintCode},
	50147:  {class: classCode, hint: hintCode}, 501491: {class: classCode, hint: hintCode},
	50089: {class: classCode, hint: "the sign-in took too long"},

	70000:  {class: classPerson, hint: "the grant is not valid any more"},
	70008:  {class: classPerson, hint: "the grant has expired or was revoked"},
	700082: {class: classPerson, hint: "the refresh token was not used for too long"},
	700084: {class: classPerson, hint: "the redirect URL is registered for a single-page " +
		"application, whose grants end " +
		"after 24 hours; register it as Web"},
	70043: {class: classPerson, hint: "the directory's sign-in frequency policy ended the session"},
	50173: {class: classPerson, hint: hintRevoked}, 50132: {class: classPerson, hint: hintRevoked},
	50133: {class: classPerson, hint: hintRevoked},
	50072: {class: classPerson, hint: hintMFASetUp}, 50079: {class: classPerson, hint: hintMFASetUp},
	50074: {class: classPerson, hint: hintMFA}, 50076: {class: classPerson, hint: hintMFA},
	50078: {class: classPerson, hint: "the multi-factor authentication has expired; the sign-in " +
		"page asks for it again"},
	50055: {class: classPerson, hint: hintPassword}, 50144: {class: classPerson, hint: hintPassword},
	50057: {class: classPerson, who: ActorAdministrator,
		hint: "the user account is disabled; enable it, or connect as " +
			"another user with allow_user_change"},
	50034: {class: classPerson, hint: "the user does not exist in this directory (any more); connect as another user " +
		"with allow_user_change"},
	50020: {class: classPerson, hint: "the user does not belong to this directory; sign in with an account of it"},
	50105: {class: classPerson, who: ActorAdministrator, hint: "nobody has assigned the user to the application; the " +
		"directory's administrator must (Enterprise applications, Users and groups)"},
	501051: {class: classPerson, who: ActorAdministrator, hint: "the application is not assigned to a role that the " +
		"directory demands; its administrator must assign it"},
	50097:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	53000:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	53001:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	53002:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	53003:  {class: classPerson, who: ActorAdministrator, hint: hintPolicy},
	530032: {class: classPerson, who: ActorAdministrator, hint: hintPolicy},
	530034: {class: classPerson, who: ActorAdministrator, hint: hintPolicy},
	530035: {class: classPerson, who: ActorAdministrator, hint: hintPolicy},
	50158:  {class: classPerson, hint: "the directory asks for a further proof, which the sign-in page leads to"},
	16000:  {class: classPerson, hint: "several accounts are signed in; choose one"},
	700020: {class: classPerson, hint: "the sign-in page must ask something"},

	50058: {class: classPerson, hint: hintSession}, 16001: {class: classPerson, hint: hintSession},
	16002:  {class: classPerson, hint: hintSession},
	160021: {class: classPerson, hint: hintSession}, 50139: {class: classPerson, hint: hintSession},
	50143: {class: classPerson, hint: hintSession},
	50085: {class: classPerson, hint: hintSession}, 50197: {class: classPerson, hint: hintSession},
	51006: {class: classPerson, hint: hintSession},
	50140: {class: classPerson, hint: "the sign-in page asks whether to stay signed in"},
	50199: {class: classPerson, hint: "the sign-in page asks to confirm the application"},
	50125: {class: classPerson, hint: "the sign-in page asks to set up the reset of the password"},
	50135: {class: classPerson, hint: "the user's password must be changed, since the account is at risk"},
	50056: {class: classPerson, hint: "the password is wrong or not set"},
	50064: {class: classPerson, hint: "the user name or password is wrong"},
	50126: {class: classPerson, hint: "the user name or password is wrong"}, 40015: {class: classCode, hint: hintCode},
	40009: {class: classPerson, hint: "the directory's own identity provider does not renew the grant"},
	53004: {class: classPerson, hint: hintMFASetUp}, 53010: {class: classPerson, who: ActorAdministrator,
		hint: "multi-factor authentication may be set up only from places or devices that the " +
			"directory's policy names; " +
			"its administrator knows which"},
	16003: {class: classPerson, hint: hintForeign}, 50014: {class: classPerson, hint: hintForeign},
	51004: {class: classPerson, hint: hintForeign},
	90072: {class: classPerson, hint: hintForeign}, 500208: {class: classPerson, hint: hintForeign},
	50053:  {class: classPerson, who: ActorAdministrator, hint: hintRisk},
	53011:  {class: classPerson, who: ActorAdministrator, hint: hintRisk},
	50002:  {class: classPerson, who: ActorAdministrator, hint: hintTenancy},
	500021: {class: classPerson, who: ActorAdministrator, hint: hintTenancy},
	500022: {class: classPerson, who: ActorAdministrator, hint: hintTenancy},
	500212: {class: classPerson, who: ActorAdministrator, hint: hintTenancy},
	500213: {class: classPerson, who: ActorAdministrator, hint: hintTenancy},
	50005:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	50129:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	50155:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	50187:  {class: classPerson, who: ActorAdministrator, hint: hintDevice},
	50131:  {class: classPerson, who: ActorAdministrator, hint: hintPolicy},
	50161: {class: classPerson, who: ActorAdministrator,
		hint: "the directory's further proof is not set up as it must " +
			"be; its administrator must mend that"},
	50177: {class: classPerson, who: ActorAdministrator,
		hint: "the directory asks guests for a proof that they cannot " +
			"give; connect as a member of it"},
	50178: {class: classPerson, who: ActorAdministrator,
		hint: "the directory asks guests for a proof that they cannot " +
			"give; connect as a member of it"},
	20001: {class: classPerson, who: ActorAdministrator, hint: hintFederation},
	20012: {class: classPerson, who: ActorAdministrator, hint: hintFederation},
	50008: {class: classPerson, who: ActorAdministrator, hint: hintFederation},
	50107: {class: classPerson, who: ActorAdministrator, hint: hintFederation},
	90123: {class: classPerson, who: ActorAdministrator, hint: hintFederation},
	50015: {class: classPerson, who: ActorAdministrator, hint: "the account is a minor's; connect as another user"},
	54000: {class: classPerson, who: ActorAdministrator, hint: "the account is a minor's; connect as another user"},

	65001: {class: classConsent, hint: hintConsent},
	65004: {class: classConsent, hint: "the person declined to consent"},
	90094: {class: classConsent, who: ActorAdministrator, hint: "an administrator must consent"},
	90095: {class: classConsent, who: ActorAdministrator,
		hint: "an administrator's consent was asked for and is pending"},
	90008: {class: classConsent, hint: hintConsent}, 90093: {class: classConsent, who: ActorAdministrator,
		hint: "an administrator must consent"},
	90099: {class: classConsent, who: ActorAdministrator, hint: "the application is not authorized in the customer's " +
		"directory; its administrator must consent"},

	7000215: {class: classConfiguration, hint: hintSecret}, 70002: {class: classConfiguration, hint: hintSecret},
	7000222: {class: classConfiguration, hint: "the client secret has expired; make a new one and set " +
		"ENTRA_CLIENT_SECRET"},
	7000218: {class: classConfiguration, hint: "the application must prove itself; set ENTRA_CLIENT_SECRET, " +
		"ENTRA_CLIENT_CERTIFICATE_FILE or ENTRA_FEDERATED_TOKEN_FILE"},
	700025: {class: classConfiguration, hint: "the app registration is a public client; register " +
		"the redirect URL for " +
		"the platform Web"},
	700027: {class: classConfiguration, hint: "the certificate in ENTRA_CLIENT_CERTIFICATE_FILE is not registered at " +
		"the app registration (Certificates & secrets), or no longer"},
	700030: {class: classConfiguration, hint: "Entra does not trust the certificate in " +
		"ENTRA_CLIENT_CERTIFICATE_FILE; " +
		"make and register a new one"},
	50012: {class: classConfiguration, hint: "the application could not prove itself; check its secret or certificate"},
	50013: {class: classConfiguration, hint: "Entra does not accept the client assertion; check certificate or " +
		"federated credential"},
	70021: {class: classConfiguration, hint: hintFederated}, 700211: {class: classConfiguration, hint: hintFederated},
	700212: {class: classConfiguration, hint: hintFederated}, 700213: {class: classConfiguration, hint: hintFederated},
	700016:  {class: classConfiguration, hint: hintAppGone, app: classConsent, who: ActorEither},
	700011:  {class: classConfiguration, hint: hintAppGone, app: classConsent, who: ActorEither},
	7000229: {class: classConfiguration, hint: hintAppGone, app: classConsent, who: ActorEither},
	7000112: {class: classConfiguration, who: ActorEither,
		hint: "the application is disabled, in its own directory or " +
			"by this directory's administrator"},
	70001: {class: classConfiguration, who: ActorEither, hint: "the application is disabled, in its own directory or " +
		"by this directory's administrator"},
	50011: {class: classConfiguration, hint: hintReply}, 900971: {class: classConfiguration, hint: hintReply},
	70004:  {class: classConfiguration, hint: hintReply},
	500112: {class: classConfiguration, hint: "PUBLIC_URL is not what it was when the sign-in began"},
	500014: {class: classDirectory, hint: hintDataverseOff}, 500011: {class: classDirectory, hint: hintNoDataverse},
	50001:  {class: classDirectory, hint: hintNoDataverse},
	650052: {class: classDirectory, hint: hintNoDataverse}, 650054: {class: classDirectory, hint: hintNoDataverse},
	1000031: {class: classDirectory, hint: "the customer's directory does not let the application be used now; its " +
		"administrator must allow it (Enterprise applications, crmbridge's application, Properties)"},
	650057: {class: classConfiguration, hint: hintRights}, 650056: {class: classConfiguration, hint: hintRights,
		who: ActorEither}, 65005: {class: classConfiguration, hint: hintRights},
	70011:   {class: classConfiguration, hint: hintScope, who: ActorRequester},
	28002:   {class: classConfiguration, hint: hintScope, who: ActorRequester},
	28003:   {class: classConfiguration, hint: hintScope, who: ActorRequester},
	700022:  {class: classConfiguration, hint: hintScope, who: ActorRequester},
	700023:  {class: classConfiguration, hint: hintScope, who: ActorRequester},
	1002012: {class: classConfiguration, hint: hintScope, who: ActorRequester},
	90002: {class: classConfiguration, who: ActorRequester, hint: "the directory does not exist in this cloud; check " +
		"tenant and ENTRA_AUTHORITY_URL"},
	90038: {class: classConfiguration, hint: hintCloud}, 900382: {class: classConfiguration, hint: hintCloud},
	50194: {class: classConfiguration, hint: "the app registration is for one directory only; make it multitenant or " +
		"give the tenant"},
	9001023: {class: classConfiguration, hint: hintTenant, who: ActorRequester},
	90124:   {class: classConfiguration, hint: hintTenant, who: ActorRequester},
	90130:   {class: classConfiguration, hint: hintTenant, who: ActorRequester},
	50059:   {class: classConfiguration, hint: hintTenant, who: ActorRequester},
	50128:   {class: classConfiguration, hint: hintTenant, who: ActorRequester},
	90019:   {class: classConfiguration, hint: hintTenant, who: ActorRequester},
	90051:   {class: classConfiguration, hint: hintCloud},
	50049:   {class: classConfiguration, hint: hintCloud}, 90043: {class: classConfiguration, hint: hintCloud},
	900432:  {class: classConfiguration, hint: hintCloud},
	1000104: {class: classConfiguration, hint: hintCloud}, 9002332: {class: classConfiguration, hint: hintTenant,
		who: ActorRequester},
	50027: {class: classConfiguration, hint: "Entra does not accept the client assertion; check certificate or " +
		"federated credential"},
	50048: {class: classConfiguration, hint: hintFederated}, 700229: {class: classConfiguration, hint: hintFederated},
	900384: {class: classConfiguration, hint: "Entra does not accept the signature of the client assertion; check " +
		"certificate or federated credential"},
	50003: {class: classConfiguration, hint: "the app registration lacks a signing key; it must not be set up for " +
		"custom signing keys"},
	50146: {class: classConfiguration, hint: "the app registration lacks a signing key; it must not be set up for " +
		"custom signing keys"},
	501461: {class: classConfiguration, hint: "the app registration's manifest has acceptMappedClaims; take it out"},
	900144: {class: classConfiguration, hint: hintRequest}, 900561: {class: classConfiguration, hint: hintRequest},
	901002: {class: classConfiguration, hint: hintRequest},
	70003:  {class: classConfiguration, hint: hintRequest}, 70005: {class: classConfiguration, hint: hintRequest},
	70007: {class: classConfiguration, hint: hintRequest},
	90004: {class: classConfiguration, hint: hintRequest}, 90005: {class: classConfiguration, hint: hintRequest},
	90013: {class: classConfiguration, hint: hintRequest},
	90014: {class: classConfiguration, hint: hintRequest}, 90015: {class: classConfiguration, hint: hintRequest},
	90023:   {class: classConfiguration, hint: hintRequest},
	9002313: {class: classConfiguration, hint: hintRequest}, 90056: {class: classConfiguration, hint: hintRequest},
	90100: {class: classConfiguration, hint: hintRequest},
	90102: {class: classConfiguration, hint: hintRequest}, 90117: {class: classConfiguration, hint: hintRequest},
	90121: {class: classConfiguration, hint: hintRequest},

	700024: {class: classClock, hint: hintAssertion}, 500133: {class: classClock, hint: hintAssertion},

	50033: {class: classLater}, 50087: {class: classLater}, 50088: {class: classLater}, 90006: {class: classLater},
	90012: {class: classLater}, 90024: {class: classLater}, 90033: {class: classLater}, 90055: {class: classLater},
	90090: {class: classLater}, 40010: {class: classLater}, 70012: {class: classLater},
	50000: {class: classLater}, 50166: {class: classLater}, 90036: {class: classLater}, 90091: {class: classLater},
	90092: {class: classLater},
	40008: {class: classLater}, 230109: {class: classLater}, 501621: {class: classLater},

	50196: {class: classLoop},
}
