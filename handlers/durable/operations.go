package durable

import "github.com/crmbridge/crmbridge/messages"

// An opIndex stands for the name of an operation.
type opIndex uint16

// opNames keeps names of operations once. Names beyond maxOpNames, which others can make up,
// are one.
type opNames struct {
	names []messages.Operation
	by    map[messages.Operation]opIndex
}

const maxOpNames = 1_000

func newOpNames() opNames {
	return opNames{names: []messages.Operation{"unknown"}, by: map[messages.Operation]opIndex{}}
}

func (o *opNames) index(op messages.Operation) opIndex {
	if i, ok := o.by[op]; ok {
		return i
	}
	if len(o.names) >= maxOpNames || len(op) > maxOpName {
		return 0
	}
	i := opIndex(len(o.names))
	o.names = append(o.names, op)
	o.by[op] = i
	return i
}

// maxOpName bounds the length of a name that is kept.
const maxOpName = 128
