// Package cases is a test, TestCases, of cases that are data: each file of
// testdata/cases is a conversation over NATS, with what the environment answers over
// HTTP and what is right. They come from public reports. A new case is a new file.
//
//	{
//	  "about": "what it is about",
//	  "steps": [{
//	    "request":  {"subject": "crm.accounts.count.request", "body": {"connection": "case"}},
//	    "upstream": [{"method": "GET", "path": "/api/data/v9.2/accounts", "query_has": "$apply", "status": 200, "body": {"value": [{"c": 3}]}}],
//	    "expect":   {"count": 3}
//	  }]
//	}
//
// The first entry of upstream that matches a request answers it, those of earlier
// steps after those of its own; what none of them is about an emulated environment
// answers. Of a member status, or of a body's member code, a list makes one run for
// each of its values. See [file], upstream and expect for the members; one that is
// not known fails the test. Strings of requests and answers may hold {environment},
// which is the environment's own origin, and {MEMBER of step N}, which is taken from
// an earlier reply.
package cases
