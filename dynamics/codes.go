package dynamics

import (
	"net/http"
	"strings"
)

// A Code is what one of Dataverse's error codes means. CODES.md is made from the table
// of them. Sources: Microsoft's list,
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes,
// the pages on limits that [Limit] and [Error.OfQuery] name, and public reports where
// those do not say which status a code comes with.
type Code struct {
	Number string // "0x80040220"
	Name   string // Microsoft's, "" where there is none
	Kind   Kind   // 0: the status decides
	Limit  Limit
	// Query: it is about what one query costs; see [Error.OfQuery].
	Query bool
	// Means and Fix are for people: what is the matter, and what the environment's
	// administrator can do about it. Fix is "" where nothing has to be mended there.
	Means, Fix string
	// Reach: the user has the privilege, and it does not reach the row.
	Reach bool
	// KeptOut: the user or the application is let in for nothing at all.
	KeptOut bool

	when  condition
	retry retryRule
	// privilege: the table's privilege is what is missing, where the message names none.
	privilege bool
}

// A condition says for which answers a code decides the kind.
type condition int

const (
	always       condition = iota
	unless401              // a 401 is about the token, whatever else it says
	only404                // the code comes with other faults too
	only400                // likewise
	onlyLink               // answers to a link of Dataverse's own, with 400
	onlyOfTables           // where the message names the table that was asked for
)

var conditionTexts = [...]string{"", "not with 401", "with 404", "with 400",
	"with 400, after a link of Dataverse's own", "where it names the table"}

// A retryRule says whether another attempt is made.
type retryRule int

const (
	byStatus retryRule = iota // after 408, 429, 502, 503, 504
	also500
	alwaysAgain
	neverAgain
)

// The places of the Power Platform admin centre that advice leads to.
const (
	AdminCentre = "Power Platform admin centre (admin.powerplatform.microsoft.com), the environment, Settings, " +
		"Users + permissions"
	SecurityRoles = AdminCentre + ", Security roles"
)

const (
	meansCostly  = "Dataverse holds this one query back because of what it costs its database"
	meansTimeout = "this one query ran until Dataverse's database gave it up"
	fixCostly    = "leave out filters that search within texts, negative ones and those on calculated columns"
)

// codeTable is every code that is told apart.
var codeTable = []Code{
	{Number: "0x80072322", Kind: Throttled, Limit: LimitRequests, Means: "6,000 requests of the user in 5 minutes"},
	{Number: "0x80072321", Kind: Throttled, Limit: LimitTime,
		Means: "20 minutes of execution time of the user's requests in 5 minutes"},
	{Number: "0x80072326", Kind: Throttled, Limit: LimitConcurrency, Means: "52 requests of the user at the same time"},
	{Number: "0x8005f103", Kind: Throttled, Limit: LimitUnknown, Means: "a limit of the environment"},
	{Number: "0x80060308", Kind: Throttled, Limit: LimitUnknown, Means: "a limit of the environment"},

	{Number: "0x80048544", Name: "DataEngineQueryThrottling", Kind: Throttled, Query: true, retry: alwaysAgain,
		Means: meansCostly, Fix: fixCostly},
	{Number: "0x80048644", Name: "DataEngineLeadingWildcardQueryThrottling", Kind: Throttled, Query: true,
		retry: alwaysAgain, Means: meansCostly, Fix: fixCostly},
	{Number: "0x80048744", Name: "DataEngineComputedColumnQueryThrottling", Kind: Throttled, Query: true,
		retry: alwaysAgain, Means: meansCostly, Fix: fixCostly},
	{Number: "0x80048745", Name: "DataEnginePerformanceValidationIssuesQueryThrottling", Kind: Throttled, Query: true,
		retry: alwaysAgain, Means: meansCostly, Fix: fixCostly},
	{Number: "0x80048573", Name: "LeadingWildcardCauseTimeout", Kind: Unavailable, Query: true, retry: neverAgain,
		Means: meansTimeout, Fix: fixCostly},
	{Number: "0x80048574", Name: "ComputedColumnCauseTimeout", Kind: Unavailable, Query: true, retry: neverAgain,
		Means: meansTimeout, Fix: fixCostly},
	{Number: "0x80048575", Name: "PerformanceValidationIssuesCauseTimeout", Kind: Unavailable, Query: true,
		retry: neverAgain, Means: meansTimeout, Fix: fixCostly},
	{Number: sqlTimeout, Kind: Unavailable, retry: also500, Means: "the query ran longer than its database lets it"},
	{Number: "0x80044150", Kind: Unavailable, retry: also500, Means: "the database failed"},

	{Number: "0x80040220", Name: "PrivilegeDenied", Kind: Forbidden, when: unless401, privilege: true,
		Means: "the user lacks a privilege",
		Fix:   "give the user a security role with it: " + SecurityRoles},
	{Number: "0x80048306", Kind: Forbidden, when: unless401, privilege: true, Reach: true,
		Means: "the user's privilege does not reach the row, and the row is not shared",
		Fix:   "give the user the privilege at a higher level: " + SecurityRoles},
	{Number: "0x80072560", Kind: Forbidden, when: unless401, KeptOut: true,
		Means: "the connection's user is not a member of the environment",
		Fix: "add the user, or for client_credentials create an application user, with a security role: " +
			AdminCentre},
	{Number: "0x80040225", Kind: Forbidden, when: unless401, KeptOut: true,
		Means: "the connection's user is disabled in the environment",
		Fix:   "enable the user, which needs a licence: " + AdminCentre + ", Users"},
	{Number: "0x80042f09", Name: "UserNotAssignedRoles", Kind: Forbidden, when: unless401, KeptOut: true,
		Means: "the connection's user has no security role in the environment",
		Fix: "give the user a security role that may read what is asked for: " + AdminCentre +
			", Users, Manage security roles"},
	{Number: "0x8004d24b", Name: "UserNotAssignedLicense", Kind: Forbidden, when: unless401, KeptOut: true,
		Means: "the connection's user has no licence for the environment",
		Fix: "assign a licence that covers it in the Microsoft 365 admin centre (admin.microsoft.com), Users, " +
			"Active users; it counts after some minutes"},
	{Number: "0x80095ffc", Kind: Forbidden, when: unless401, KeptOut: true,
		Means: "the environment does not let this application in",
		Fix: "allow crmbridge's application (client) id where access is restricted: Power Platform admin centre, " +
			"the environment, Settings, Product, " +
			"Privacy + Security, and the tenant's app access policies"},
	{Number: "0x8004a113", Kind: Forbidden, when: unless401, KeptOut: true,
		Means: "the environment is in administration mode, in which only administrators get in",
		Fix: "end the mode, or connect as an administrator meanwhile: Power Platform admin centre, the " +
			"environment, Edit details, Administration mode"},
	{Number: "0x8004a104", Name: "OrganizationDisabled", Kind: Forbidden, when: unless401, KeptOut: true,
		Means: "the environment is disabled",
		Fix:   "enable the environment: Power Platform admin centre, Environments"},

	{Number: "0x80040217", Name: "ObjectDoesNotExist", Kind: NotFound, when: only404,
		Means: "there is no row with this id, or the user may not see it"},
	{Number: "0x80060891", Name: "RecordNotFoundByEntityKey", Kind: NotFound, when: only404,
		Means: "there is no row with this key"},
	{Number: noEntity, Name: "QueryBuilderNoEntity", Kind: NoTable, when: onlyOfTables,
		Means: "the environment has no such table",
		Fix:   "install the product that brings it, or leave the table out"},
	{Number: "0x80060888", Kind: NoTable, when: onlyOfTables,
		Means: "the environment has no such table, where its message says so; else a query that is not understood",
		Fix:   "install the product that brings it, or leave the table out"},
	{Number: "0x8006088a", Kind: NoTable, when: onlyOfTables, Means: "the same",
		Fix: "install the product that brings it, or leave the table out"},
	{Number: "0x80041103", Name: "QueryBuilderNoAttribute", Kind: UnknownColumn, when: only400,
		Means: "the table has no such column"},

	{Number: "0x8004e023", Name: "AggregateQueryRecordLimitExceeded", Kind: AggregateLimit,
		Means: "more than 50,000 rows in one aggregate; they are counted in ranges"},
	{Number: "0x8004430a", Name: "OverRetrievalUpperLimitWithoutPagingCookie", Kind: PagesEnd,
		Means: "more than 50,000 rows in an order that includes a lookup",
		Fix:   "order by columns of the table's own, or narrow the filter"},
	{Number: "0x8004112a", Name: "QueryBuilderInvalidPagingCookie", Kind: Expired, when: onlyLink,
		Means: "the place among the pages is not known any more", Fix: "start again without a cursor"},
	{Number: "0x80041129", Name: "QueryBuilderPagingOrderBy", Kind: Expired, when: onlyLink,
		Means: "the place among the pages is not known any more", Fix: "start again without a cursor"},
	{Number: "0x80044352", Name: "ExpiredVersionStamp", Kind: Expired,
		Means: "the record of changes does not reach back that far", Fix: "start again without a cursor"},
}

// The codes that are asked for by themselves: of a query that ran longer than its
// database lets it, and of metadata of a table that is not there.
const (
	sqlTimeout = "0x80044151"
	noEntity   = "0x80041102"
)

var codes = func() map[string]*Code {
	byNumber := make(map[string]*Code, len(codeTable))
	for i := range codeTable {
		byNumber[codeTable[i].Number] = &codeTable[i]
	}
	return byNumber
}()

var unknownCode Code

// codeOf returns what a code means, in either case; never nil.
func codeOf(number string) *Code {
	if c := codes[strings.ToLower(number)]; c != nil {
		return c
	}
	return &unknownCode
}

// CodeOf returns what one of Dataverse's codes means; ok is false for one that is not
// told apart from others.
func CodeOf(number string) (code Code, ok bool) {
	c := codeOf(number)
	return *c, c != &unknownCode
}

// decides reports whether the code, and not the status, gives the kind. What depends on
// more than the status is found by [refusal].
func (c *Code) decides(status int) bool {
	switch c.when {
	case always:
		return c.Kind != 0
	case unless401: // the status of some of them is not documented
		return status != http.StatusUnauthorized
	case only404:
		return status == http.StatusNotFound
	case only400:
		return status == http.StatusBadRequest
	}
	return false
}

// mayRetry reports whether another attempt may help. Dataverse lets a part of the
// tries of a query through that it holds back; one that ran until it timed out would
// cost the same again.
func (c *Code) mayRetry(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return c.retry != neverAgain
	case http.StatusInternalServerError:
		return c.retry == also500 || c.retry == alwaysAgain
	}
	return c.retry == alwaysAgain
}
