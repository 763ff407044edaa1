package main

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// topicTexts are sections of the documents, each read into blocks, so that this program needs to read
// no Markdown. A test makes them.
//
//go:embed topics
var topicTexts embed.FS

// A topic is a section of a document that can be read without the document.
type topic struct{ name, about string }

// topics in the order in which people need them.
var topics = []topic{
	{"connecting", "connecting a customer's environment; registering crmbridge"},
	{"filters", "how to write --where, as an expression and as JSON"},
	{"errors", "what each error means, and what to do"},
	{"keys", "making, rotating and removing keys for encryption at rest"},
}

type helpCommand struct {
	Topic []string `arg:"" optional:"" predictor:"topic" help:"Topic, or a command."`
}

// Help shows the topics.
func (c *helpCommand) Help() string {
	var b strings.Builder
	b.WriteString("Topics:\n")
	for _, t := range topics {
		fmt.Fprintf(&b, "  %-11s %s\n", t.name, t.about)
	}
	b.WriteString("\nExamples:\n  crmbridge help filters\n  crmbridge help accounts search\n")
	return b.String()
}

// Run prints a topic, or which there are.
func (c *helpCommand) Run(std *stdio) error {
	if len(c.Topic) == 0 || len(c.Topic) == 1 && strings.EqualFold(c.Topic[0], "help") {
		_, err := io.WriteString(std.out, c.Help())
		return err
	}
	name, found := topicFor(c.Topic)
	if !found {
		return noTopic(strings.Join(c.Topic, " "))
	}
	blocks, err := topicBlocks(name)
	if err != nil {
		return err
	}
	const piped = 80 // the same text into every pipe and file
	return term.Document(std.out, cmp.Or(term.Columns(std.out), piped), blocks)
}

func topicBlocks(name string) (blocks []term.Block, err error) {
	text, err := topicTexts.ReadFile("topics/" + name + ".json")
	if err != nil {
		return nil, err
	}
	return blocks, json.Unmarshal(text, &blocks)
}

// topicNames are what help is about.
func topicNames() (names []string) {
	for _, t := range topics {
		names = append(names, t.name)
	}
	return names
}

func isTopic(name string) bool {
	return slices.ContainsFunc(topics, func(t topic) bool { return t.name == name })
}

// topicFor is the topic that words mean: also in capitals, and one of the things that it is about.
func topicFor(words []string) (name string, found bool) {
	if len(words) != 1 {
		return "", false
	}
	word := strings.ToLower(words[0])
	for _, name := range []string{word, word + "s"} {
		if isTopic(name) {
			return name, true
		}
	}
	return "", false
}

// isCommand reports whether a command, or a group of them, has the names that lead to it. Flags may be
// among them.
func isCommand(names []string) bool {
	parser, err := kong.New(newCommands())
	if err != nil {
		return false // whoever reads the command line says why
	}
	node := parser.Model.Node
	for _, name := range names {
		if strings.HasPrefix(name, "-") {
			continue
		}
		at := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == name })
		if at < 0 {
			return false
		}
		node = node.Children[at]
	}
	return node != parser.Model.Node
}

// isFlag reports whether any command has the flag.
func isFlag(name string) bool {
	parser, err := kong.New(newCommands())
	return err == nil && slices.ContainsFunc(parser.Model.Leaves(false), func(leaf *kong.Node) bool {
		return slices.ContainsFunc(leaf.Flags, func(flag *kong.Flag) bool { return flag.Name == name })
	})
}

// commandNames are the commands, and groups of them, that the program has.
func commandNames() []string {
	parser, err := kong.New(newCommands())
	if err != nil {
		return nil // whoever reads the command line says why
	}
	var names []string
	for _, node := range parser.Model.Children {
		if node.Name != "help" { // which nobody needs help to find
			names = append(names, node.Name)
		}
	}
	return names
}

func noTopic(name string) error {
	all := topicNames()
	flag := strings.TrimLeft(name, "-")
	if !isFlag(flag) {
		flag = strings.TrimSuffix(flag, "s")
	}
	if isFlag(flag) {
		return fmt.Errorf("%w: there is no topic %q; --%s is a flag, of which a command's --help tells", bridge.ErrUsage,
			name, flag)
	}
	if near := messages.Nearest(name, append(commandNames(), all...), 1); len(near) > 0 {
		return fmt.Errorf("%w: there is no topic %q; did you mean %s?", bridge.ErrUsage, name, near[0])
	}
	return fmt.Errorf("%w: there is no topic %q; there are %s", bridge.ErrUsage, name, strings.Join(all, ", "))
}
