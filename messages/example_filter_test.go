package messages_test

import (
	"fmt"
	"log"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/messages"
)

// A filter made of nodes, as it is sent.
func ExampleAll() {
	where := messages.All(
		messages.Leaf("status", messages.Eq, "Active"),
		messages.Any(
			messages.Leaf("city", messages.StartsWith, "New"),
			messages.Leaf("employees", messages.Between, []int{50, 250}),
		),
		messages.Not(messages.Leaf("do_not_email", messages.Eq, true)),
		messages.HasValue("website"),
	)
	text, err := json.Marshal(where)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output:
	// {"and":[{"field":"status","op":"eq","value":"Active"},{"or":[{"field":"city","op":"starts_with","value":"New"},{"field":"employees","op":"between","value":[50,250]}]},{"not":{"field":"do_not_email","op":"eq","value":true}},{"field":"website","op":"not_null"}]}
}

// A filter that a person wrote, and what is said about a wrong one.
func ExampleParseWhere() {
	where, err := messages.ParseWhere("industry in (Consulting, Financial) and not city starts with New")
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(where)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))

	_, err = messages.ParseWhere("name like Contoso")
	fmt.Println(err)
	// Output:
	// {"and":[{"field":"industry","op":"in","value":["Consulting","Financial"]},{"not":{"field":"city","op":"starts_with","value":"New"}}]}
	// there is no such operator; write contains, starts with or ends with (at byte 5 of the expression)
}
