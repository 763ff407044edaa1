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
	Topic string `arg:"" optional:"" predictor:"topic" help:"Topic, or a command."`
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
	if c.Topic == "" {
		_, err := io.WriteString(std.out, c.Help())
		return err
	}
	if !isTopic(c.Topic) {
		return noTopic(c.Topic)
	}
	blocks, err := topicBlocks(c.Topic)
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

// isCommand reports whether a command, or a group of them, has the name.
func isCommand(name string) bool { return name != "help" && slices.Contains(commandNames(), name) }

// commandNames are the commands, and groups of them, that the program has.
func commandNames() []string {
	parser, err := kong.New(newCommands())
	if err != nil {
		return nil // whoever reads the command line says why
	}
	var names []string
	for _, node := range parser.Model.Children {
		names = append(names, node.Name)
	}
	return names
}

func noTopic(name string) error {
	all := topicNames()
	if near := messages.Nearest(name, append(commandNames(), all...), 1); len(near) > 0 {
		return fmt.Errorf("%w: there is no topic %q; did you mean %s?", bridge.ErrUsage, name, near[0])
	}
	return fmt.Errorf("%w: there is no topic %q; there are %s", bridge.ErrUsage, name, strings.Join(all, ", "))
}
