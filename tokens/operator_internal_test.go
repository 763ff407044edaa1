package tokens

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogosAreCheckedByTheirContent(t *testing.T) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		picture.String(): "image/png", "<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>": "", "<html>": "", "": "",
		"GIF89a....": "image/gif",
		picture.String() + strings.Repeat("x", maxLogo): "",
	} {
		file := filepath.Join(t.TempDir(), "logo.png")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		logo, kind, err := ReadLogo(file)
		if kind != want || (err == nil) != (want != "") || err == nil && string(logo) != content {
			t.Errorf("%.20q: %q, %v", content, kind, err)
		}
	}
}

// What an environment calls people cannot turn or break a line.
func TestNamesAreOneLine(t *testing.T) {
	c := Connection{UserName: "kept"}.named(Names{UserFull: " A\u202eda\r\n\x00L\u2028 ",
		Organization: strings.Repeat("é", 2000)})
	if c.UserName != "kept" || c.UserFullName != "AdaL" || len(c.OrganizationName) > maxName ||
		!strings.HasSuffix(c.OrganizationName, "é") {
		t.Errorf("%+v", c)
	}
}
