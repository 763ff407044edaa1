package emulator

import (
	"fmt"
	"slices"
	"strconv"
)

// baseLanguage is the organization's: labels without a translation come in it.
const baseLanguage = 1033

// language is what a user's personal options choose: the words of labels, and how formatted values
// are written. In Dataverse these are two settings, uilanguageid and localeid; here one stands for
// both.
type language struct {
	lcid           int32
	name           string
	group, decimal string
	date, moment   string // layouts
	moneyBehind    bool   // 20.000,00 $ instead of $20,000.00
	words          map[string]string
}

// The formats of German and French follow their Windows locales; that money keeps the symbol of the
// row's currency and takes its place from the user is how Dataverse formats it, the blank before
// the symbol is a guess.
var languages = []*language{
	{lcid: baseLanguage, name: "English", group: ",", decimal: ".", date: "1/2/2006", moment: "1/2/2006 3:04 PM"},
	{lcid: 1031, name: "German", group: ".", decimal: ",", date: "02.01.2006", moment: "02.01.2006 15:04",
		moneyBehind: true, words: german},
	{lcid: 1036, name: "French", group: "\u00a0", decimal: ",", date: "02/01/2006", moment: "02/01/2006 15:04",
		moneyBehind: true, words: french},
}

// Languages are the LCIDs of the languages that are provisioned, the base language first: 1033
// English, 1031 German, 1036 French.
func Languages() []int {
	out := make([]int, len(languages))
	for i, l := range languages {
		out[i] = int(l.lcid)
	}
	return out
}

func languageNames() []string {
	out := make([]string, len(languages))
	for i, l := range languages {
		out[i] = fmt.Sprintf("%d (%s)", l.lcid, l.name)
	}
	return out
}

func languageOf(lcid int32) *language {
	i := slices.IndexFunc(languages, func(l *language) bool { return l.lcid == lcid })
	return languages[max(i, 0)]
}

// lcid is the user's language now.
func (u *systemUser) lcid() int32 {
	if l := u.language.Load(); l != 0 {
		return l
	}
	return baseLanguage
}

// lang is the caller's language as of the first use, so that one answer is in one language.
func (c *call) lang() *language {
	if c.words == nil {
		c.words = languageOf(c.user.lcid())
	}
	return c.words
}

// words are a label: the text in the base language, and what an administrator set for single languages.
type words struct {
	base string
	own  map[int32]string
}

// in is the label in a language; ok is false where it has no translation.
func (w words) in(l *language) (text string, ok bool) {
	if text, ok = w.own[l.lcid]; ok {
		return text, text != ""
	}
	if l.lcid == baseLanguage {
		return w.base, w.base != ""
	}
	if w.own[baseLanguage] != "" {
		return "", false // a new text in the base language: the old translations are not its own
	}
	text, ok = l.words[w.base]
	return text, ok
}

// text is the label that a user of the language sees.
func (w words) text(l *language) string {
	if text, ok := w.in(l); ok {
		return text
	}
	text, _ := w.in(languages[0])
	return text
}

// number writes an integer in groups of three.
func (l *language) number(n int64) string {
	s := strconv.FormatInt(abs(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + l.group + s[i:]
	}
	return sign(n) + s
}

// cents writes ten-thousandths with two decimals and no sign.
func (l *language) cents(n int64) string {
	cents := (abs(n) + 50) / 100
	return l.number(cents/100) + l.decimal + strconv.FormatInt(100+cents%100, 10)[1:]
}

func (l *language) money(n int64) string { return l.signed(l.cents(n), n < 0, true) }

// signed puts sign and currency around a number that has neither.
func (l *language) signed(text string, negative, money bool) string {
	switch {
	case money && !l.moneyBehind && negative:
		return "($" + text + ")"
	case money && !l.moneyBehind:
		return "$" + text
	case money:
		text += "\u00a0$"
	}
	if negative {
		text = "-" + text
	}
	return text
}

// label is a Label object: every provisioned language that has a text, and the user's. Where the
// user's has none UserLocalizedLabel is null, as has been seen of customers' own labels, and
// readers have to look among the others.
func (c *call) label(w words) object {
	all, user := []object{}, any(nil)
	for _, l := range languages {
		text, ok := w.in(l)
		if !ok {
			continue
		}
		one := object{{"Label", text}, {"LanguageCode", l.lcid}, {"IsManaged", true},
			{"MetadataId", namedGUID("label", strconv.Itoa(int(l.lcid)), text).String()}, {"HasChanged", nil}}
		all = append(all, one)
		if l == c.lang() {
			user = one
		}
	}
	return object{{"LocalizedLabels", all}, {"UserLocalizedLabel", user}}
}
