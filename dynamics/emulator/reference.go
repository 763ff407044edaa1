package emulator

// reference is the row that a lookup's id names.
type reference struct{ name, entity string }

// refer finds the row that a lookup's id names, in the tables that the lookup may name.
func (v *snapshot) refer(c *column, id guid) (reference, bool) {
	if ref, ok := v.dir.refer(id); ok { // most lookups are owners
		return ref, true
	}
	for _, logical := range c.targets {
		if logical == "fieldsecurityprofile" {
			if p, ok := find(v.profiles, func(p any) guid { return p.(*profile).id }, id).(*profile); ok {
				return reference{p.name, logical}, true
			}
		}
		set := v.sets[logical]
		if set == nil {
			continue
		}
		if r := set.row(id); r != nil {
			return reference{set.name(v, r), logical}, true
		}
	}
	return reference{}, false
}

func (d *directory) refer(id guid) (reference, bool) {
	ref, ok := d.references[id]
	return ref, ok
}

// index fills what is looked up by id once everything is there.
func (d *directory) index() {
	d.references = map[guid]reference{currencyID: {"US Dollar", "transactioncurrency"}}
	d.unit, d.above = map[guid]guid{}, map[guid]guid{}
	for n, g := range d.units {
		d.references[g] = reference{n, "businessunit"}
		d.unit[g] = g
		if n != businessUnits[0] {
			d.above[g] = d.units[businessUnits[0]]
		}
	}
	for _, u := range d.users {
		d.references[u.id] = reference{u.Name, "systemuser"}
		d.unit[u.id] = u.businessUnit
	}
	for _, t := range d.teams {
		d.references[t.id] = reference{t.name, "team"}
		d.unit[t.id] = t.businessUnit
	}
	for _, r := range d.roles {
		d.references[r.id] = reference{r.name, "role"}
		d.unit[r.id] = r.businessUnit
	}
}

var currencyID, _ = parseGUID("228f42f8-e646-e111-8eb7-78e7d162ced1")
