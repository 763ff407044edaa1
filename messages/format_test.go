package messages_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/crmbridge/crmbridge/messages"
)

// format writes a tree as an expression, by the grammar in the comment of
// messages.Expression and nothing of its parser.
func format(t *testing.T, where messages.Where) string {
	t.Helper()
	switch {
	case where.Not != nil:
		return "not " + inner(t, *where.Not)
	case where.And != nil:
		return join(t, where.And, " and ")
	case where.Or != nil:
		return join(t, where.Or, " or ")
	}
	switch where.Op {
	case messages.IsNull:
		return where.Field + " is null"
	case messages.NotNull:
		return where.Field + " is not null"
	case messages.Between:
		return where.Field + " between " + strings.Join(values(t, where.Value), " and ")
	}
	operand := strings.Join(values(t, where.Value), ", ")
	if where.Value.Kind() == '[' {
		operand = "(" + operand + ")"
	}
	return where.Field + " " + strings.ReplaceAll(string(where.Op), "_", " ") + " " + operand
}

func join(t *testing.T, nodes []messages.Where, with string) string {
	t.Helper()
	parts := make([]string, len(nodes))
	for i, node := range nodes {
		parts[i] = inner(t, node)
	}
	return strings.Join(parts, with)
}

func inner(t *testing.T, node messages.Where) string {
	t.Helper()
	if node.And != nil || node.Or != nil {
		return "(" + format(t, node) + ")"
	}
	return format(t, node)
}

// values writes text in either kind of quotes, so that both are tried.
func values(t *testing.T, value jsontext.Value) []string {
	t.Helper()
	items := []jsontext.Value{value}
	if value.Kind() == '[' {
		items = nil
		if err := json.Unmarshal(value, &items); err != nil {
			t.Fatal(err)
		}
	}
	written := make([]string, len(items))
	for i, item := range items {
		written[i] = string(item)
		if item.Kind() != '"' {
			continue
		}
		var text string
		if err := json.Unmarshal(item, &text); err != nil {
			t.Fatal(err)
		}
		written[i] = "'" + strings.ReplaceAll(text, "'", "''") + "'"
		if len(text)%2 == 0 {
			written[i] = `"` + strings.NewReplacer("'", "''", `"`, `\"`, `\`, `\\`).Replace(text) + `"`
		}
	}
	return written
}

// Random trees, written as expressions, are read as the trees that they were.
func TestTreesSurviveAsExpressions(t *testing.T) {
	const seed = 4
	random := rand.New(rand.NewPCG(seed, seed))
	trees := 3000
	if testing.Short() {
		trees = 500
	}
	for range trees {
		want := randomTree(random, 1)
		text := format(t, want)
		got, err := messages.ParseWhere(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(treeOf(t, &want), treeOf(t, got)); diff != "" {
			t.Fatalf("%s: %s", text, diff)
		}
	}
}

func randomTree(random *rand.Rand, depth int) messages.Where {
	if depth == messages.MaxWhereDepth || random.IntN(3) == 0 {
		return randomLeaf(random)
	}
	if random.IntN(3) == 0 {
		return messages.Not(randomTree(random, depth+1))
	}
	nodes := make([]messages.Where, 2+random.IntN(2)) // of one, an expression shows the member
	for i := range nodes {
		nodes[i] = randomTree(random, depth+1+random.IntN(3)%(messages.MaxWhereDepth-depth))
	}
	if random.IntN(2) == 0 {
		return messages.All(nodes...)
	}
	return messages.Any(nodes...)
}

func randomLeaf(random *rand.Rand) messages.Where {
	field := pick(random, "name", "revenue", "cb_externalref", "contains", "any", "starts", "Größe")
	op := messages.Ops()[random.IntN(len(messages.Ops()))]
	several := make([]any, 1+random.IntN(4))
	for i := range several {
		several[i] = randomValue(random)
	}
	switch op {
	case messages.IsNull, messages.NotNull:
		return messages.Where{Field: field, Op: op}
	case messages.Between:
		return messages.Leaf(field, op, []any{randomValue(random), randomValue(random)})
	case messages.In, messages.NotIn, messages.ContainsAny, messages.ContainsNone:
		return messages.Leaf(field, op, several)
	case messages.Eq:
		if random.IntN(4) == 0 {
			return messages.Leaf(field, op, several)
		}
	}
	return messages.Leaf(field, op, randomValue(random))
}

func randomValue(random *rand.Rand) any {
	switch random.IntN(4) {
	case 0:
		return jsontext.Value(pick(random, "0", "-0", "5", "0.10", "90071992547409930.1000", "-1.5e+3", "1E400"))
	case 1:
		return random.IntN(2) == 0
	case 2:
		return fmt.Sprint(random.IntN(100_000))
	}
	var text strings.Builder
	for range random.IntN(9) {
		text.WriteString(pick(random, "'", `"`, `\`, "%", "_", "[", "(", ")", ",", " ", "and", "null", "=", "+", "🚀", "東", "e\u0301", "שלום", "\u202e", "\n", "\x00", "x"))
	}
	return text.String()
}

func pick[T any](random *rand.Rand, of ...T) T { return of[random.IntN(len(of))] }
