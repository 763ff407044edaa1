package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/crmbridge/crmbridge/messages"
)

// place is what the words before the cursor say.
type place struct {
	node    *kong.Node        // the command, as far as it is named
	args    []string          // its arguments
	flags   map[string]string // by name; the last one counts
	open    *kong.Flag        // the flag whose value is at the cursor
	unknown bool              // there is a word that crmbridge would refuse
}

// locate reads the words before the cursor.
func locate(app *kong.Node, words []string) place {
	p := place{node: app, flags: map[string]string{}}
	for _, word := range words {
		switch name, value, given := strings.Cut(word, "="); {
		case p.open != nil:
			p.flags[p.open.Name], p.open = word, nil
		case strings.HasPrefix(word, "-") && len(word) > 1:
			flag := p.flag(name)
			switch {
			case flag == nil:
				p.unknown = true
			case given:
				p.flags[flag.Name] = value
			case !flag.IsBool():
				p.open = flag
			}
		case len(p.node.Children) > 0:
			child := slices.IndexFunc(p.node.Children, func(n *kong.Node) bool { return n.Name == word })
			if child < 0 {
				p.unknown = true
				return p
			}
			p.node = p.node.Children[child]
		default:
			p.args = append(p.args, word)
			p.unknown = p.unknown || len(p.args) > len(p.node.Positional)
		}
	}
	return p
}

// flag is the flag of the command, or of those above it, with this name and its hyphens.
func (p *place) flag(name string) *kong.Flag {
	for _, flags := range p.node.AllFlags(false) {
		for _, flag := range flags {
			if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
				return flag
			}
		}
	}
	return nil
}

// table is the table that the command is about.
func (p *place) table() (messages.Table, bool) {
	for node := p.node; node != nil; node = node.Parent {
		for _, table := range messages.Tables() {
			if node.Name == table.Name {
				return table, true
			}
		}
	}
	return messages.Table{}, false
}

// connection is the connection that the line names, "" where there is none.
func (p *place) connection() string {
	if len(p.args) > 0 && len(p.node.Positional) > 0 && p.node.Positional[0].Name == "connection" {
		return p.args[0]
	}
	return ""
}
