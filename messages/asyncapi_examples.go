package messages

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The examples of the document are made of the Go types, so that they are what goes over the wire.

const (
	exampleConnection = "acme"
	exampleConnectURL = "https://crm.example/connect/Zm9yIGFuIGV4YW1wbGU"
	exampleRequestID  = "0197d4c2-7f3a-7c51-9f5e-1d2c3b4a5968"
	exampleJobID      = "01K9ZC4V6Q8M"
	exampleID         = "5f0d3a8e-3c1b-4e57-9a55-0e3f7c2b1a90"
	exampleUserID     = "8d5c2f14-6b7e-4f0a-8a3c-92b1d7e6f501"
)

var exampleTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// exampleBodies are the bodies of the operations that belong to no table.
func exampleBodies(op Operation) (in any, out Reply) {
	target, later := Target{exampleConnection}, exampleTime.Add(time.Minute)
	name, user := "Ada Lindqvist", "ada@contoso.example"
	connection := Connection{ID: exampleConnection, EnvironmentURL: "https://contoso.crm4.dynamics.com",
		TenantID: "c0ffee00-1111-4222-8333-444455556666", Grant: GrantAuthorizationCode, Status: StatusActive,
		UserID: exampleUserID, OrganizationID: exampleID, UserName: &user, UserFullName: &name,
		Scopes: []string{"https://contoso.crm4.dynamics.com/user_impersonation"}, Tables: []string{Accounts.Name},
		AccessTokenExpiresAt: &later, CreatedAt: exampleTime, RefreshedAt: &exampleTime}
	job := Job{ID: exampleJobID, Operation: Accounts.Operation(VerbSearch), Connection: exampleConnection,
		State: JobRunning, Pages: 2, Rows: 10_000, Bytes: 2_400_000, QueuedAt: exampleTime, StartedAt: &later}
	switch op {
	case ConnectionsAuthorize:
		return AuthorizeRequest{Target: target, EnvironmentURL: connection.EnvironmentURL},
			&AuthorizeReply{Connection: AuthorizedConnection{ID: exampleConnection},
				ConnectURL: exampleConnectURL, ExpiresAt: later}
	case ConnectionsComplete:
		return CompleteRequest{State: "c3RhdGU", Code: "0.AXEA"}, &ConnectionReply{Connection: connection}
	case ConnectionsGet:
		return ConnectionGetRequest{target, exampleConnectURL},
			&ConnectionGetReply{Connection: connection, SignIn: &SignIn{Phase: SignInConnected}}
	case ConnectionsList:
		return ConnectionsListRequest{PageSize: 100}, &ConnectionsListReply{Connections: []Connection{connection}}
	case ConnectionsDelete:
		return ConnectionRequest{target}, &DeletedReply{Deleted: true}
	case ConnectionsCheck:
		return CheckRequest{Target: target}, &ChecksReply{Checks: []PermissionCheck{
			{Name: "whoami", OK: true}, {Name: Accounts.ReadCheck(), MissingPrivilege: Accounts.ReadPrivilege,
				HowToFix: "Give the user a role that reads accounts."}}}
	case ConnectionsLimits:
		return ConnectionRequest{target}, &LimitsReply{InFlight: 3, Limit: 40, Breaker: "closed", CallsToday: 1200}
	case UsersWhoAmI:
		return ConnectionRequest{target}, &WhoAmIReply{UserID: exampleUserID, BusinessUnitID: exampleID,
			OrganizationID: exampleID}
	case UsersGet:
		return UserGetRequest{Target: target, Email: user}, &UserReply{User: User{ID: exampleUserID, Name: name,
			Email: user, BusinessUnitID: exampleID, Roles: []Role{{exampleID, "Salesperson", RoleDirect}}}}
	case JobsGet, JobsCancel:
		return JobRequest{target, exampleJobID}, &JobReply{Job: job}
	case JobsList:
		return JobsListRequest{Target: target}, &JobsListReply{Jobs: []Job{job}}
	case JobsResults:
		return JobResultsRequest{target, exampleJobID, 1}, &JobResultsReply{}
	case JobsRetry:
		retried := job
		retried.ID, retried.State, retried.RetryOf = exampleJobID+"-2", JobQueued, exampleJobID
		retried.Pages, retried.Rows, retried.Bytes, retried.StartedAt = 0, 0, 0, nil
		return JobRetryRequest{target, exampleJobID, exampleJobID + "-2"}, &JobReply{Job: retried}
	case JobsDelete:
		return JobRequest{target, exampleJobID}, &DeletedReply{Deleted: true}
	}
	return nil, nil
}

// examplesOfTable are the bodies of a table's operations.
func examplesOfTable(t Table, verb Verb) (in any, out Reply) {
	row := Row{}
	for _, name := range t.DefaultFields {
		for _, field := range t.Fields {
			if field.Name == name {
				row[name] = exampleValue(t, field)
			}
		}
	}
	target := Target{exampleConnection}
	switch verb {
	case VerbSearch:
		total := int64(1)
		return SearchRequest{Target: target, Where: exampleWhere(t), PageSize: 500, IncludeTotal: true},
			&Page{Rows: []Row{row}, Total: &total}
	case VerbGet:
		return GetRequest{Target: target, ID: exampleID}, &RowReply{Row: row}
	case VerbCount:
		return CountRequest{Target: target, Where: exampleWhere(t)}, &CountReply{Count: 4711}
	case VerbFields:
		return FieldsRequest{Target: target}, &FieldsReply{Fields: []Field{{Name: t.Fields[0].Name,
			LogicalName: t.Fields[0].Logical, Label: t.Display, Type: t.Fields[0].Type, Readable: true, Searchable: true}}}
	case VerbChanges:
		return ChangesRequest{Target: target}, &ChangesReply{Rows: []Row{row}, Deleted: []string{exampleUserID},
			NextCursor: "Y3Vyc29y"}
	}
	return nil, nil
}

// exampleWhere is a filter on the table's first text.
func exampleWhere(t Table) *Where {
	for _, field := range t.Fields {
		if field.Type == FieldText {
			return &Where{Field: field.Name, Op: "starts_with", Value: jsontext.Value(`"Con"`)}
		}
	}
	return nil
}

// exampleValue is a value of a field's type.
func exampleValue(t Table, field TableField) jsontext.Value {
	switch field.Type {
	case FieldGUID:
		return jsontext.Value(strconv.Quote(exampleID))
	case FieldText:
		return jsontext.Value(strconv.Quote("Contoso"))
	case FieldLookup:
		return jsontext.Value(`{"id":"` + exampleUserID + `","name":"Contoso","entity":"account"}`)
	case FieldChoice:
		if options := t.Options[field.Logical]; len(options) > 0 {
			return jsontext.Value(fmt.Sprintf(`{"value":%d,"label":%q}`, options[0].Value, options[0].Label))
		}
	case FieldMoney, FieldDecimal:
		return jsontext.Value(`125000.0000`)
	case FieldWholeNumber:
		return jsontext.Value(`250`)
	case FieldYesNo:
		return jsontext.Value(`false`)
	case FieldDateTime:
		return jsontext.Value(`"2026-01-02T03:04:05Z"`)
	}
	return jsontext.Value(`null`)
}

// examples are an operation's messages.
type examples struct {
	op    Operation
	in    any
	out   Reply
	table *Table
}

func examplesOf(op Operation, table *Table) examples {
	e := examples{op: op, table: table}
	if table == nil {
		e.in, e.out = exampleBodies(op)
		return e
	}
	_, verb, _ := op.Table([]Table{*table})
	e.in, e.out = examplesOfTable(*table, verb)
	return e
}

func (e examples) request() object {
	return object{"name": string(e.op), "headers": object{HeaderRequestID: exampleRequestID},
		"payload": wireOf(e.in, e.table)}
}

func (e examples) reply() object {
	e.out.SetHead(exampleRequestID, exampleConnection)
	return object{"name": string(e.op), "headers": object{HeaderRequestID: exampleRequestID},
		"payload": wireOf(e.out, e.table)}
}

// result is the only page of a job.
func (e examples) result() object {
	made := e.reply()
	made["headers"] = object{HeaderRequestID: exampleRequestID, HeaderPage: "1", HeaderRows: "1", HeaderLast: "true"}
	return made
}

func exampleFault() (object, any) {
	fault := Errorf(Throttled, "Dataverse lets this user wait").After(90 * time.Second)
	reply := ErrorReply{Error: fault}
	reply.SetHead(exampleRequestID, exampleConnection)
	return object{HeaderRequestID: exampleRequestID, HeaderErrorCode: string(fault.Code),
		HeaderServiceErrorCode: strconv.Itoa(fault.Code.Number()), HeaderServiceError: fault.Message}, wire(reply)
}

func exampleError() object {
	headers, body := exampleFault()
	return object{"name": "throttled", "headers": headers, "payload": body}
}

func exampleJobError() object {
	headers, body := exampleFault()
	headers[HeaderPage], headers[HeaderRows], headers[HeaderLast] = "3", "10000", "true"
	return object{"name": "throttled", "headers": headers, "payload": body}
}

func exampleRecord() object {
	record := JobRecord{Form: JobForm, Beat: 4, Owner: "NATSID", RequestID: exampleRequestID,
		Job: Job{ID: exampleJobID, Operation: Accounts.Operation(VerbSearch), Connection: exampleConnection,
			State: JobRunning, Pages: 2, Rows: 10_000, Bytes: 2_400_000, QueuedAt: exampleTime, StartedAt: &exampleTime}}
	return object{"name": "running", "payload": wire(record)}
}

func exampleEvent() object {
	id := exampleConnection + ":1:2"
	return object{"name": EventConnected, "headers": object{headerMsgID: id},
		"payload": wire(ConnectionEvent{EventID: id, Kind: EventConnected, Connection: exampleConnection,
			EnvironmentURL: "https://contoso.crm4.dynamics.com", At: exampleTime, Status: StatusActive,
			Incarnation: "1", Version: 2})}
}

// wire is a body as JSON.
func wire(body any) any {
	text, err := jsonv2.Marshal(body, jsonv2.Deterministic(true)) // rows are maps
	if err != nil {
		panic(fmt.Sprintf("messages: an example of the document cannot be written: %v", err))
	}
	return json.RawMessage(text)
}

// wireOf is a body of a table as JSON.
func wireOf(body any, table *Table) any {
	value := reflect.ValueOf(body)
	if value.Kind() != reflect.Pointer {
		value = reflect.New(value.Type())
		value.Elem().Set(reflect.ValueOf(body))
	}
	if table != nil {
		value = value.Convert(reflect.PointerTo(table.form(value.Type().Elem())))
	}
	return wire(value.Interface())
}
