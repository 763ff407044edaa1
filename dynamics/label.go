package dynamics

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A label is a text in the languages of an environment:
//
//	{"LocalizedLabels":[{"Label":"Industry","LanguageCode":1033,…}],"UserLocalizedLabel":{"Label":"Branche","LanguageCode":1031,…}}
//
// UserLocalizedLabel is in the language of the one who asks. It is null where the
// label has none in that language; most customers translate few of their own labels.
type label struct {
	User *localized `json:"UserLocalizedLabel"`
	All  texts      `json:"LocalizedLabels"`
}

type localized struct {
	Label        string
	LanguageCode int
}

// texts are those of a label in several languages, as many as an environment can have.
type texts []localized

// maxLabelText bounds a text of a label in bytes; longer ones are cut. No form could
// show it.
const maxLabelText = 16 << 10

// UnmarshalJSONFrom reads the texts one by one: what a few bytes each become, or what
// they hold all together, is known only when it is there.
func (t *texts) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*t = nil
	_, err := elements(d, "the texts of a label are not an array", func() error {
		if len(*t) == maxLanguages {
			return d.SkipValue()
		}
		var one localized
		if err := json.UnmarshalDecode(d, &one); err != nil {
			return err
		}
		if len(one.Label) > maxLabelText {
			one.Label = strings.ToValidUTF8(one.Label[:maxLabelText], "")
		}
		*t = append(*t, one)
		return nil
	})
	return err
}

// text is the label in the user's language, else in the base language, else in the
// first that there is; "" where there is none.
func (l label) text(base int) string {
	if l.User != nil && l.User.Label != "" {
		return l.User.Label
	}
	text := ""
	for _, one := range l.All {
		switch {
		case one.Label == "":
		case one.LanguageCode == base:
			return one.Label
		case text == "":
			text = one.Label
		}
	}
	return text
}

// languages counts the labels of an answer by language, to find the environment's
// base language without asking for it: Dataverse saves no label without a text in the
// base language, so that no other language has more.
type languages map[int]int

// maxLanguages bounds the languages that are told apart; Microsoft publishes 43
// language packs.
const maxLanguages = 100

func (n languages) see(l label) {
	for _, one := range l.All {
		if _, known := n[one.LanguageCode]; one.Label != "" && (known || len(n) < maxLanguages) {
			n[one.LanguageCode]++
		}
	}
}

// most is the language with the most labels. English goes before others that have as
// many, and a lower number before a higher one, so that every process finds the same.
func (n languages) most() int {
	const english = 1033
	best, most := english, n[english]
	for language, count := range n {
		if count > most || count == most && best != english && language < best {
			best, most = language, count
		}
	}
	return best
}
