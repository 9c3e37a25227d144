package outboxtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Refusals fails for every text of a wrong configuration in the package of the
// working directory that no string of its tests has whole: people act on these
// words, so a table has to hold each. What is looked for are composites
// outbox.Invalid, and calls of makers, by name: the value is the place of the
// argument with the format. Where the one before it is the name of an option, the
// text is looked for behind that name.
//
// It proves that the words stand in a test, not that the test compares them.
func Refusals(t *testing.T, makers map[string]int) {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var wanted, said []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		test := strings.HasSuffix(path, "_test.go")
		ast.Inspect(file, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok && test {
				said = append(said, joined(e, "*", func(s string) string { return s }))
			} else if s := refusal(n, makers); !test && s != "" {
				wanted = append(wanted, s)
			}
			return true
		})
	}
	if len(wanted) == 0 {
		t.Error("the package refuses nothing")
	}
	slices.Sort(wanted)
	for _, w := range slices.Compact(wanted) {
		if re := regexp.MustCompile(`(?s)(^|[: -])` + w + `($|[;:\n])`); !slices.ContainsFunc(said, re.MatchString) {
			t.Errorf("no test has the text of this refusal: %s", w)
		}
	}
}

var (
	verb       = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z%]`)
	optionName = regexp.MustCompile(`^[a-z]+([-.][a-z]+)*$`)
)

// refusal is a pattern of what a node says to people; "" when it does not.
func refusal(n ast.Node, makers map[string]int) string {
	var option, text ast.Expr
	switch n := n.(type) {
	case *ast.CompositeLit:
		if s, ok := n.Type.(*ast.SelectorExpr); !ok || s.Sel.Name != "Invalid" {
			return ""
		}
		for _, e := range n.Elts {
			switch pair, _ := e.(*ast.KeyValueExpr); pair.Key.(*ast.Ident).Name {
			case "Option":
				option = pair.Value
			case "Text":
				text = pair.Value
			}
		}
	case *ast.CallExpr:
		at, ok := makers[called(n)]
		if !ok || at >= len(n.Args) {
			return ""
		}
		if text = n.Args[at]; at > 0 {
			option = n.Args[at-1]
		}
	default:
		return ""
	}
	pattern := joined(text, ".*", func(s string) string {
		parts := verb.Split(s, -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		return strings.Join(parts, ".*")
	})
	if name := joined(option, "", func(s string) string { return s }); optionName.MatchString(name) {
		return regexp.QuoteMeta(name) + ": " + pattern
	}
	return strings.TrimPrefix(pattern, ".*: ") // what wraps a text that is looked for by itself
}

// joined is the constant text of an expression as f writes it, with hole for
// what is not constant.
func joined(e ast.Expr, hole string, f func(string) string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return f(s)
		}
	case *ast.BinaryExpr:
		return joined(e.X, hole, f) + joined(e.Y, hole, f)
	case *ast.CallExpr:
		if called(e) == "Sprintf" {
			return joined(e.Args[0], hole, f)
		}
	case nil:
		return ""
	}
	return hole
}

// called is the name of a call's function, without its package or value.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
