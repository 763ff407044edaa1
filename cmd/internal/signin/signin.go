// Package signin connects environments the way a person does, with as much of a
// browser as that takes. The development program and the tests use it; nothing
// in it knows crmbridge from the inside.
package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/crmbridge/crmbridge/messages"
)

// Connect makes a connection the way a person does: it asks for the connect page,
// opens it in a browser with cookies, goes on to Entra ID, signs in as user,
// accepts, and comes back to the callback page. The emulator is both authority
// and environment.
func Connect(ctx context.Context, ask *messages.Client, connection, authority, user string) error {
	begun, err := ask.Authorize(ctx, messages.AuthorizeRequest{
		Target: messages.Target{Connection: connection}, EnvironmentURL: authority, LoginHint: user})
	if err != nil {
		return err
	}
	browser, err := NewBrowser()
	if err != nil {
		return err
	}
	if _, err := browser.SignIn(ctx, begun.ConnectURL, authority, user); err != nil {
		return err
	}
	made, err := ask.Connection(ctx, connection)
	if err != nil {
		return err
	}
	if made.Status != messages.StatusActive {
		return fmt.Errorf("the connection is %s after the sign-in", made.Status)
	}
	return nil
}

// A Browser is as much of one as the flow needs: cookies, redirects, links, forms.
type Browser struct{ HTTP *http.Client }

// NewBrowser makes a browser of its own, without cookies.
func NewBrowser() (Browser, error) {
	jar, err := cookiejar.New(nil)
	return Browser{&http.Client{Jar: jar, Timeout: 30 * time.Second}}, err
}

// A Page is a page that a browser shows.
type Page struct {
	URL  *url.URL
	Root *html.Node
}

// SignIn opens a connect page, goes on to the authority, signs in as user and
// accepts. It returns the page on which that ends.
func (b Browser) SignIn(ctx context.Context, connectURL, authority, user string) (Page, error) {
	connectPage, err := b.Open(ctx, connectURL)
	if err != nil {
		return Page{}, fmt.Errorf("open the connect page: %w", err)
	}
	signIn, err := b.Submit(ctx, connectPage, nil) // the button
	if err != nil {
		return Page{}, fmt.Errorf("sign in: %w", err)
	}
	if !strings.HasPrefix(signIn.URL.String(), authority) {
		return signIn, nil // signed in at once
	}
	end, err := b.Submit(ctx, signIn, url.Values{"user": {user}, "action": {"accept"}})
	if err != nil {
		return Page{}, fmt.Errorf("sign in: %w", err)
	}
	return end, nil
}

// Open shows an address.
func (b Browser) Open(ctx context.Context, address string) (Page, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Page{}, errors.New("the address is not a URL")
	}
	return b.show(request)
}

// Submit sends the first form of a page with the given values.
func (b Browser) Submit(ctx context.Context, on Page, values url.Values) (Page, error) {
	form := find(on.Root, func(n *html.Node) bool { return n.Data == "form" })
	if form == nil {
		return Page{}, errors.New("the page has no form")
	}
	action, err := on.URL.Parse(attribute(form, "action"))
	if err != nil {
		return Page{}, errors.New("the form's action is not a URL")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return Page{}, errors.New("the form's action is not a URL")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.show(request)
}

func (b Browser) show(request *http.Request) (Page, error) {
	response, err := b.HTTP.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the address, which may hold a code
		}
		return Page{}, err
	}
	defer response.Body.Close()
	const biggest = 1 << 20
	root, err := html.Parse(io.LimitReader(response.Body, biggest))
	if err != nil {
		return Page{}, err
	}
	if response.StatusCode != http.StatusOK {
		title := find(root, func(n *html.Node) bool { return n.Data == "h1" })
		return Page{}, fmt.Errorf("%s: %s", response.Status, textOf(title))
	}
	return Page{URL: response.Request.URL, Root: root}, nil
}

func find(root *html.Node, wanted func(*html.Node) bool) *html.Node {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && wanted(n) {
			return n
		}
	}
	return nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	if n == nil {
		return ""
	}
	var text strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			text.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(text.String())
}
