package messages

import (
	"maps"
	"slices"
)

// headerTexts describe the headers of messages.
var headerTexts = map[string]object{
	HeaderRequestID: {"type": "string", "minLength": 1, "maxLength": MaxRequestID, "pattern": "^[!-~]+$",
		"description": "Correlates a request with what answers it. crmbridge makes one where it is absent."},
	HeaderDeadline: {"type": "string", "format": "date-time",
		"description": "RFC 3339 time at which the requester stops waiting; 30 s after receipt by default on the " +
			"interactive lane, 5 min at most."},
	HeaderTraceParent: {"type": "string", "description": "W3C trace context."},
	HeaderTraceState:  {"type": "string", "description": "W3C trace context."},
	HeaderPage: {"type": "string", "pattern": "^[1-9][0-9]*$",
		"description": "Number of this message in an answer of several, from 1; a gap means loss."},
	HeaderLast: {"type": "string", "enum": []string{"true"},
		"description": "On the last message of an answer of several."},
	HeaderRows: {"type": "string", "pattern": "^[0-9]+$", "description": "Rows of the job up to this message."},
	HeaderTotal: {"type": "string", "pattern": "^[0-9]+$",
		"description": "Rows that the job will have, where that is known."},
	HeaderCheckpoint: {"type": "string", "maxLength": MaxCheckpoint,
		"description": "Sealed place from which crmbridge goes on. Not for readers."},
	HeaderIncarnation: {"type": "string",
		"description": "Incarnation of the connection. Readers ignore messages of another one than the job's."},
	HeaderContentEncoding: {"type": "string", "enum": []string{EncodingZstd},
		"description": "How the body is compressed, where the job asked for it."},
	HeaderOperation: {"type": "string", "description": "Operation of the job."},
	HeaderAttempts: {"type": "string", "pattern": "^[0-9]+$",
		"description": "Executions that ended in an error that may pass."},
	HeaderRetryOf:   {"type": "string", "description": "The job whose dead letter this one runs again."},
	HeaderErrorCode: {"type": "string", "description": "Code of the error."},
	HeaderServiceErrorCode: {"type": "string", "pattern": "^[0-9]{3}$",
		"description": "HTTP-like number of the error, as NATS's services API has it."},
	HeaderServiceError: {"type": "string", "description": "Message of the error, shortened where it is long."},
	headerMsgID:        {"type": "string", "description": "Id of the event, by which the stream knows one that comes twice."},
}

// headerMsgID is JetStream's name of the id by which it knows a message that comes twice.
const headerMsgID = "Nats-Msg-Id"

// headers adds the schemas of headers: the first names are those that are always there.
func (d *asyncAPI) headers() {
	trace := []string{HeaderTraceParent, HeaderTraceState}
	fault := []string{HeaderErrorCode, HeaderServiceErrorCode, HeaderServiceError}
	result := []string{HeaderRequestID, HeaderPage, HeaderRows}
	more := append([]string{HeaderLast, HeaderIncarnation, HeaderTotal, HeaderCheckpoint, HeaderContentEncoding}, trace...)
	for name, of := range map[string]struct{ always, sometimes []string }{
		"RequestHeaders": {nil, append([]string{HeaderRequestID, HeaderDeadline}, trace...)},
		"JobHeaders":     {nil, append([]string{HeaderRequestID, HeaderDeadline, HeaderRetryOf}, trace...)},
		"ReplyHeaders":   {[]string{HeaderRequestID}, append([]string{HeaderPage, HeaderLast}, trace...)},
		"StoredHeaders":  {result, slices.DeleteFunc(slices.Clone(more), func(name string) bool { return name == HeaderCheckpoint })},
		"ErrorHeaders":   {append([]string{HeaderRequestID}, fault...), append([]string{HeaderPage, HeaderLast}, trace...)},
		"ResultHeaders":  {result, more},
		"ResultErrorHeaders": {slices.Concat([]string{HeaderRequestID, HeaderPage, HeaderRows, HeaderLast}, fault),
			append([]string{HeaderIncarnation, HeaderTotal}, trace...)},
		"RecordHeaders": {nil, []string{HeaderIncarnation}},
		"DeadLetterHeaders": {slices.Concat([]string{HeaderOperation, HeaderRequestID, HeaderAttempts}, fault),
			[]string{HeaderIncarnation}},
		"EventHeaders": {[]string{headerMsgID}, nil},
	} {
		properties := object{}
		for _, header := range slices.Concat(of.always, of.sometimes) {
			properties[header] = titled(header)
		}
		schema := object{"type": "object", "title": titleOf(name), "properties": properties}
		if len(of.always) > 0 {
			schema["required"] = of.always
		}
		d.schemas[name] = schema
	}
}

// titled is the schema of a header with its name as the title.
func titled(header string) object {
	schema := maps.Clone(headerTexts[header])
	schema["title"] = header
	if header == HeaderErrorCode {
		codes := Codes()
		slices.Sort(codes)
		schema["enum"] = codes
	}
	return schema
}
