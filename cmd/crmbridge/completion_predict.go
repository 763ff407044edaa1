package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/messages"
)

const (
	// completionLimit bounds what a person waits for candidates after a press of Tab.
	completionLimit = time.Second
	// mostCandidates bounds what is printed.
	mostCandidates = 2000
	// exitFile is the exit status by which the scripts know that a file is to be named.
	exitFile = 3
)

// completing completes one line.
type completing struct {
	typed
	place
	ctx context.Context // ends when the time is over
}

// complete prints the candidates for a line, one on each line, and gives the exit status. It is
// silent about whatever goes wrong: it is called in the middle of what a person types.
func (t typed) complete(stdout io.Writer) (status int) {
	if len(t.words) == 0 {
		return 0
	}
	parser, err := kong.New(newCommands(), kong.Name("crmbridge"))
	if err != nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionLimit)
	defer cancel()
	c := completing{typed: t, ctx: ctx}
	args := slices.Clone(t.words[1:])
	word := t.last
	if name, value, given := strings.Cut(word, "="); given && strings.HasPrefix(name, "--") {
		args, word = append(args, name), value
	}
	c.place = locate(parser.Model.Node, args)
	if c.unknown {
		return 0
	}
	if c.open != nil && c.open.PlaceHolder == "FILE" {
		return exitFile
	}
	tree, err := kongcompletion.Command(parser, kongcompletion.WithPredictors(c.predictors()))
	if err != nil {
		return 0
	}
	request := complete.Args{All: append(slices.Clone(args), word), Completed: args, Last: word}
	if len(args) > 0 {
		request.LastCompleted = args[len(args)-1]
	}
	return c.print(stdout, word, tree.Predict(request))
}

// print prints the candidates that word begins.
func (c *completing) print(stdout io.Writer, word string, candidates []string) int {
	slices.Sort(candidates)
	var out strings.Builder
	count := 0
	for _, candidate := range slices.Compact(candidates) {
		rest, ok := strings.CutPrefix(candidate, word)
		if !ok || !harmless(rest) || count == mostCandidates {
			continue
		}
		count++
		fmt.Fprintln(&out, c.written(rest))
	}
	if !printable(c.last) { // a candidate would be another line or act on the terminal
		return 0
	}
	_, _ = io.WriteString(stdout, out.String()) // nobody is there to be told
	return 0
}

// harmless reports whether a text may be typed into a command line: it comes from elsewhere, and
// must not act on the terminal or mean something to the shell. Names have no other letters.
func harmless(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return notInVariables(r) && !strings.ContainsRune("-., =<>!|", r)
	})
}

// printable reports whether the text that a person has typed is one line of plain characters.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 })
}

// predictors are those that the commands' tags name.
func (c *completing) predictors() map[string]complete.Predictor {
	answer := func(candidates func() []string) complete.Predictor {
		return complete.PredictFunc(func(a complete.Args) []string {
			if strings.HasPrefix(a.Last, "-") { // a flag: nobody needs to be asked
				return nil
			}
			return candidates()
		})
	}
	list := func(candidates func() []string) complete.Predictor {
		return complete.PredictFunc(func(a complete.Args) []string { return ofList(a.Last, candidates()) })
	}
	tables := func() []string { return messages.TableNames(messages.Tables()) }
	return map[string]complete.Predictor{
		"connection": answer(c.connections),
		"job":        answer(c.jobs),
		"context":    answer(bridge.Contexts),
		"operation":  answer(operationNames),
		"topic":      answer(func() []string { return append(topicNames(), commandNames()...) }),
		"tables":     list(tables),
		"fields":     list(func() []string { return c.fields(false) }),
		"order":      complete.PredictFunc(func(a complete.Args) []string { return ofOrder(a.Last, c.fields(true)) }),
		"columns":    complete.PredictFunc(func(a complete.Args) []string { return ofColumns(a.Last, c.fields(false)) }),
		"where":      complete.PredictFunc(c.where),
		"kind":       list(messages.EventKinds),
		"prompt":     complete.PredictSet("login", "consent", "select_account", "none"),
		"check":      complete.PredictSet("nats", "subscriptions", "jetstream", "redis", "draining"),
		"level":      complete.PredictSet("debug", "info", "warn", "error"),
		"format":     complete.PredictSet("auto", "text", "json"),
	}
}

func operationNames() []string {
	var names []string
	for _, op := range messages.Operations(messages.Tables()) {
		names = append(names, string(op))
	}
	return names
}

// ofList completes the last item of a list; what is in the list already is left out.
func ofList(list string, names []string) []string {
	before, items := "", []string{}
	if comma := strings.LastIndexByte(list, ','); comma >= 0 {
		before, items = list[:comma+1], strings.Split(list[:comma], ",")
	}
	var candidates []string
	for _, name := range names {
		if !slices.Contains(items, name) {
			candidates = append(candidates, before+name)
		}
	}
	return candidates
}

// ofOrder is ofList of fields that may have a minus.
func ofOrder(list string, names []string) []string {
	if item := list[strings.LastIndexByte(list, ',')+1:]; strings.HasPrefix(item, "-") {
		descending := make([]string, len(names))
		for i, name := range names {
			descending[i] = "-" + name
		}
		names = descending
	}
	return ofList(list, names)
}

// ofColumns completes the field of the last HEADER=FIELD of a list, or a field that goes by its own name.
func ofColumns(list string, names []string) []string {
	begin := strings.LastIndexByte(list, ',') + 1
	begin += strings.LastIndexByte(list[begin:], '=') + 1
	candidates := make([]string, len(names))
	for i, name := range names {
		candidates[i] = list[:begin] + name
	}
	return candidates
}

// where completes a filter. A field that is the only one comes with its operators: with one
// candidate the shell would close the quotes.
func (c *completing) where(a complete.Args) []string {
	before, want, begun := expecting(a.Last)
	var names []string
	switch want {
	case wantsField:
		names = c.fields(true)
	case wantsOperator:
		names = begun
	case wantsMore:
		names = []string{"and", "or"}
	}
	tail := a.Last[len(before):]
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, tail) })
	if want == wantsField && len(names) == 1 && c.quoted {
		for _, operator := range operators {
			names = append(names, names[0]+" "+operator)
		}
		names = names[1:]
	}
	for i, name := range names {
		names[i] = before + name
	}
	return names
}
