package dynamics

import (
	"crypto/sha256"
	"errors"
	"strings"
)

// maxLink bounds a nextLink in bytes. Dataverse's own are as long as the query
// and the cookie, and may be so long that they cannot be followed.
const maxLink = 2 * MaxBatchURL

// maxFollowed bounds what a session remembers of the links it followed.
const maxFollowed = 100_000

type linkSum [sha256.Size]byte

// splitLink checks a nextLink and takes it apart without changing a byte of what
// goes over the wire: it must lead to the same environment and to exactly the
// collection it came from. The link is text from outside and is what a token
// would be sent to, so it is taken apart by hand and not by a lenient parser.
// The returned error does not repeat the link.
func splitLink(link, environment, path string) (host, query string, err error) {
	if len(link) > maxLink {
		return "", "", errors.New("it is too long")
	}
	for _, c := range []byte(link) {
		if c <= ' ' || c == 0x7f || c == '#' || c == '\\' {
			return "", "", errors.New("it holds a space, a control character, a backslash or a fragment")
		}
	}
	scheme, rest, ok := strings.Cut(link, "://")
	slash := strings.IndexByte(rest, '/')
	if !ok || slash < 0 {
		return "", "", errors.New("it is not an absolute URL")
	}
	host = scheme + "://" + rest[:slash]
	if !SameEnvironment(host, environment) {
		return "", "", errors.New("it leads to another host, port or scheme")
	}
	linkPath, query, ok := strings.Cut(rest[slash:], "?")
	if !ok || query == "" {
		return "", "", errors.New("it has no query")
	}
	// A GUID in the path may come back in another case.
	if linkPath != path && (!strings.Contains(path, "(") || !strings.EqualFold(linkPath, path)) {
		return "", "", errors.New("it leads to another collection")
	}
	return strings.ToLower(host), query, nil
}

// follow prepares r for a link of the collection at path.
func (s *Session) follow(r *request, path, link string) error {
	if err := s.setURL(r, path, link, "the link to the next page"); err != nil {
		return err
	}
	return s.checkLoop(r.op, link)
}

// checkLink checks a link that is to be followed later.
func (s *Session) checkLink(p *Prepared, link string) error {
	return s.follow(&request{op: p.op}, p.table.Set, link)
}

// setURL makes r a request for a link of the collection at path; name says in the error
// which link it is.
func (s *Session) setURL(r *request, path, link, name string) error {
	path = s.client.root() + path
	host, query, err := splitLink(link, s.environment, path)
	if err != nil {
		return unusable(r.op, name+" is refused: "+err.Error(), nil)
	}
	if len(link) > MaxBatchURL {
		return tooLong(r.op)
	}
	r.origin, r.path, r.query, r.link = host, path, query, link
	if at := strings.Index(link, "://"); at >= 0 {
		rest := link[at+3:]
		r.path = rest[strings.IndexByte(rest, '/'):strings.IndexByte(rest, '?')]
	}
	return nil
}

// checkLoop refuses a link whose page this session has had already.
func (s *Session) checkLoop(op, link string) error {
	if s.wasFollowed(link) {
		return unusable(op, "the link to the next page was followed before: the pages go round in circles", nil)
	}
	return nil
}

func (s *Session) wasFollowed(link string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followed[sha256.Sum256([]byte(link))]
}

// Restart forgets which links were followed, for a query that begins again.
func (s *Session) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followed = nil
}

// markFollowed remembers a link whose page arrived whole; one that failed may be
// tried again.
func (s *Session) markFollowed(op, link string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.followed) >= maxFollowed {
		return &Error{Kind: TooLarge, Op: op, Message: "more pages than one session follows"}
	}
	if s.followed == nil {
		s.followed = map[linkSum]bool{}
	}
	s.followed[sha256.Sum256([]byte(link))] = true
	return nil
}
