package messages

// AccountsCountRequest asks how many accounts match a filter.
type AccountsCountRequest struct {
	Target
	Where *Where `json:"where,omitzero"`
}

// AccountsCountReply is the number of matching accounts, exact for unchanging
// data however many there are.
type AccountsCountReply struct {
	Head
	Count int64 `json:"count"`
}
