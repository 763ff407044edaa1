package emulator

import "iter"

// These are the methods of [TableControl] for accounts.

// RelabelOption is [TableControl.RelabelOption] of accounts.
func (c Control) RelabelOption(name string, value int, labels map[int]string) bool {
	return c.Table("accounts").RelabelOption(name, value, labels)
}

// AddOption is [TableControl.AddOption] of accounts.
func (c Control) AddOption(name string, value int, labels map[int]string) bool {
	return c.Table("accounts").AddOption(name, value, labels)
}

// RemoveOption is [TableControl.RemoveOption] of accounts.
func (c Control) RemoveOption(name string, value int) bool {
	return c.Table("accounts").RemoveOption(name, value)
}

// RelabelColumn is [TableControl.RelabelColumn] of accounts.
func (c Control) RelabelColumn(name string, labels map[int]string) bool {
	return c.Table("accounts").RelabelColumn(name, labels)
}

// RemoveColumn is [TableControl.RemoveColumn] of accounts.
func (c Control) RemoveColumn(name string) bool { return c.Table("accounts").RemoveColumn(name) }

// AddColumn is [TableControl.AddColumn] of accounts.
func (c Control) AddColumn(d Column) error { return c.Table("accounts").AddColumn(d) }

// Accounts yields all accounts, in the order of their keys, as of the call.
func (c Control) Accounts() iter.Seq[Account] {
	t, rows := c.s.schema.table("accounts"), c.s.data.view().set("account").rows()
	return func(yield func(Account) bool) {
		for _, r := range rows {
			if !yield(r.(*record).account(t)) {
				return
			}
		}
	}
}

// PutAccount inserts the row, or replaces the one with the same ID; its Version and ModifiedOn are
// set, a zero CreatedOn and StatusCode too. An empty ID gets a new one. It returns the ID, or ""
// where ID is not a GUID.
func (c Control) PutAccount(a Account) string {
	t := c.s.schema.table("accounts")
	r, ok := newAccountMaker(t, false).record(&a)
	if !ok {
		return ""
	}
	return c.s.data.put(t, r, c.s.opts.Now())
}

// DeleteAccount removes the row and reports whether it was there.
func (c Control) DeleteAccount(id string) bool { return c.Table("accounts").Delete(id) }

// RestoreAccount is [TableControl.Restore] for accounts.
func (c Control) RestoreAccount(id string) bool { return c.Table("accounts").Restore(id) }
