package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/tailer-io/tailer/internal/outbox"
)

// These functions take a URL apart by hand: net/url refuses what libpq allows
// (an escaped socket directory as host), and its errors show the whole text,
// password included.

// hidden stands where a password was.
const hidden = "xxxxx"

var (
	secretParameter   = regexp.MustCompile(`(?i)([?&](?:password|sslpassword)=)[^&#]*`)
	passwordParameter = regexp.MustCompile(`[?&]password=`)
)

// RedactURL is a database URL with every password replaced by xxxxx. Where it
// is not clear which "@" ends the password, too much is hidden, never too
// little.
func RedactURL(s string) string {
	s = secretParameter.ReplaceAllString(s, "${1}"+hidden)
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	at := strings.LastIndexByte(rest, '@')
	colon := strings.IndexByte(rest, ':')
	if colon < 0 || at < colon {
		return s
	}
	return scheme + "://" + rest[:colon+1] + hidden + rest[at:]
}

// hasPassword reports whether a database URL holds one.
func hasPassword(s string) bool {
	_, rest, _ := strings.Cut(s, "://")
	authority, _ := cutAny(rest, "/?#")
	user, _, ok := cutLast(authority, '@')
	return ok && strings.Contains(user, ":") || passwordParameter.MatchString(s)
}

// scheme is what stands before "://", "" if nothing does.
func scheme(s string) string {
	before, _, ok := strings.Cut(s, "://")
	if !ok {
		return ""
	}
	return before
}

// isScheme reports whether s has the form of one: only that may be shown. Where
// there is no URL, what stands before "://" may be anything, a password too.
func isScheme(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789+.-") == ""
}

// kindOf is the kind of the source that a URL's scheme names, "" for none.
func kindOf(s string) outbox.Kind {
	switch scheme(s) {
	case "postgres", "postgresql":
		return outbox.Postgres
	case "mysql":
		return outbox.MySQL
	case "mariadb":
		return outbox.MariaDB
	}
	return ""
}

// databaseOf is the database that a URL names. For Postgres it is what libpq
// understands: the dbname parameter, the path, else the user's name.
func databaseOf(s string) string {
	_, rest, _ := strings.Cut(s, "://")
	authority, rest := cutAny(rest, "/?#")
	path, query := cutAny(strings.TrimPrefix(rest, "/"), "?#")
	if kind := kindOf(s); kind == outbox.MySQL || kind == outbox.MariaDB {
		return unescape(path)
	}
	parameters, err := url.ParseQuery(strings.TrimPrefix(query, "?"))
	if err != nil {
		parameters = nil // pg.Validate says so
	}
	user, _, _ := cutLast(authority, '@')
	user, _, _ = strings.Cut(user, ":")
	for _, name := range []string{parameters.Get("dbname"), unescape(path), parameters.Get("user"), unescape(user)} {
		if name != "" {
			return name
		}
	}
	return ""
}

func unescape(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// cutAny cuts s before the first of chars.
func cutAny(s, chars string) (before, after string) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// cutLast cuts s around the last c; without one, before is empty.
func cutLast(s string, c byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}
