package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/crmbridge/crmbridge/messages"
)

// whereTrees makes trees; row is the one that the tree at hand is made to match.
type whereTrees struct {
	*whereValues
	pairs          []pair // every column with every operator, in a random order
	next           int
	seen           map[string]int
	row            *oracleRow
	leaves, values int
}

type pair struct {
	column *oracleColumn
	op     messages.Op
}

func newWhereTrees(rng *rand.Rand, o *oracle) *whereTrees {
	m := &whereTrees{whereValues: newWhereValues(rng, o), seen: map[string]int{}}
	for _, c := range o.table.columns {
		for _, op := range c.ops() {
			m.pairs = append(m.pairs, pair{c, op})
		}
	}
	rng.Shuffle(len(m.pairs), func(i, j int) { m.pairs[i], m.pairs[j] = m.pairs[j], m.pairs[i] })
	return m
}

// tree makes the next tree: from a single leaf up to messages/README.md#bounds.
func (m *whereTrees) tree() messages.Where {
	m.row = one(m.rng, m.o.rows)
	m.values = messages.MaxWhereValues
	switch m.rng.IntN(20) {
	case 0, 1, 2, 3:
		m.leaves = 1
		return m.leaf(60)
	case 4: // as many leaves as may be
		m.leaves = messages.MaxWhereLeaves
		return m.wide()
	case 5: // as many values as may be
		m.leaves = 1 + m.rng.IntN(12)
		return m.lists()
	default:
		m.leaves = 2 + m.rng.IntN(9)
		return m.node(1+m.rng.IntN(messages.MaxWhereDepth), 1)
	}
}

// node makes a tree that is at most so deep, each list with a few children and some more.
func (m *whereTrees) node(depth, more int) messages.Where {
	if depth <= 1 || m.leaves <= 1 {
		return m.leaf(60)
	}
	switch kind := m.rng.IntN(10); {
	case kind < 2:
		return messages.Not(m.node(depth-1, more))
	case kind < 3:
		return m.leaf(60)
	default:
		nodes := []messages.Where{}
		for range 1 + m.rng.IntN(3+more) {
			if m.leaves > 0 {
				nodes = append(nodes, m.node(depth-1, more))
			}
		}
		if kind < 6 {
			return messages.All(nodes...)
		}
		return messages.Any(nodes...)
	}
}

// wide uses up the leaves.
func (m *whereTrees) wide() messages.Where {
	nodes := []messages.Where{}
	for m.leaves > 0 {
		nodes = append(nodes, m.node(messages.MaxWhereDepth-1, 4))
	}
	if m.rng.IntN(2) == 0 {
		return messages.All(nodes...)
	}
	return messages.Any(nodes...)
}

// lists uses up the values.
func (m *whereTrees) lists() messages.Where {
	nodes := []messages.Where{}
	for len(nodes) == 0 || m.leaves > 0 && m.values > 0 {
		c := one(m.rng, m.o.table.columns)
		if ops := c.ops(); slices.Contains(ops, messages.In) {
			op := []messages.Op{messages.In, messages.NotIn}[m.rng.IntN(2)]
			n := max(1, m.values/m.leaves)
			list := []any{}
			for range n {
				list = append(list, m.scalar(c, op, m.source(c, one(m.rng, m.o.rows))))
			}
			m.leaves, m.values = m.leaves-1, m.values-n
			m.seen[fmt.Sprint(c.kind, " ", op)]++
			nodes = append(nodes, messages.Leaf(c.names[0], op, list))
		}
	}
	if m.rng.IntN(2) == 0 {
		return messages.All(nodes...)
	}
	return messages.Any(nodes...)
}

// leaf takes the next pair, with at most so many values.
func (m *whereTrees) leaf(most int) messages.Where {
	p := m.pairs[m.next%len(m.pairs)]
	m.next++
	m.leaves--
	if m.values < 2 {
		p.op = messages.NotNull
	}
	m.seen[fmt.Sprint(p.column.kind, " ", p.op)]++
	field := one(m.rng, p.column.names)
	value, n := m.value(p.column, p.op, m.row, min(most, m.values))
	m.values -= n
	if n == 0 {
		return messages.Where{Field: field, Op: p.op}
	}
	return messages.Leaf(field, p.op, value)
}
