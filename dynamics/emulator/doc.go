// Package emulator is Microsoft Entra ID and one Dataverse environment over real HTTP, for tests and for trying crmbridge
// without a tenant. It checks what the real services check, answers in their forms and refuses in their words; a client that
// works here by luck is a defect of this package.
//
//	s, err := emulator.New(emulator.Options{AutoConsent: true})
//	srv := httptest.NewServer(s)
//	// authority:   srv.URL + "/" + emulator.DefaultTenantID
//	// environment: srv.URL
//
// One server plays both services on one origin. Its own addresses are derived from each request's Host and scheme, so it can
// stand behind any listener; a token for http://127.0.0.1:8999 is not one for http://localhost:8999, as with real environments.
//
// # What is there
//
//   - Entra: authorize (sign-in page, or at once with AutoConsent), token (authorization_code with PKCE, refresh_token,
//     client_credentials with a secret), openid-configuration, keys, instance discovery.
//   - Dataverse: WhoAmI, accounts, systemusers, teams, roles and the relations between them, and the metadata of account;
//     $select, $filter, $orderby, $top, $count, $apply, $expand of roles, server-driven paging with Dataverse's own cookies,
//     annotations, conditional reads and the error bodies of the Web API.
//   - Control: [Server.Control] in the process, /_emulator/ over HTTP: counters, expiry, revocation and faults.
//
// # What differs from the real thing
//
// There is no write access, no FetchXML, no $batch, no change tracking, no service protection limit and no admin-consent page yet;
// such requests are refused, never answered emptily. Impersonation headers have no effect. Filters over related tables (primarycontactid/fullname, any, all) are
// refused too. Text is compared without case but with accents, and sorted by code point. The caller's language is English
// (United States), the time zone of formatted values is UTC-07:00, as in Microsoft's samples.
//
// All people, companies, addresses and numbers are invented; e-mail addresses and sites are under example names.
package emulator
