package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tailer-io/tailer/internal/credential"
	"github.com/tailer-io/tailer/internal/outbox"
)

// setting is what one layer says about an option.
type setting struct {
	values []string
	// where names the layer for people; "" for a flag, which the user has
	// just typed.
	where string
}

// settings are a layer, or the result of several, by option name.
type settings map[string]setting

// over are the settings of both layers; s beats lower.
func (s settings) over(lower settings) settings {
	for name, v := range lower {
		if _, ok := s[name]; !ok {
			s[name] = v
		}
	}
	return s
}

// Load builds the configuration of a command from its parsed flags, an
// environment as os.Environ gives it, and the file that one of them names. An
// error is an *outbox.Invalid.
func Load(cmd Command, fs *pflag.FlagSet, environ []string) (*Config, error) {
	env, warnings := fromEnv(environ)
	set := fromFlags(fs).over(env)
	f := &file{}
	if s, ok := set["config"]; ok && len(s.values) > 0 && s.values[0] != "" {
		var err error
		if f, err = readFile(s.values[0]); err != nil {
			return nil, err
		}
	}
	c, err := build(cmd, set.over(f.settings), f)
	if err != nil {
		return nil, located(err, set)
	}
	c.Warnings = append(warnings, c.Warnings...)
	return c, nil
}

// build reads every setting, fills in what depends on others and checks all.
func build(cmd Command, set settings, f *file) (*Config, error) {
	c := &Config{tablesLine: f.tablesLine}
	for i := range options {
		o := &options[i]
		values := []string{o.def}
		if s, ok := set[o.name]; ok && len(s.values) > 0 {
			values = s.values
		} else if o.isList() || o.def == "" {
			continue
		}
		if err := o.parse(c, values); err != nil {
			return nil, err
		}
	}
	if err := c.tryPassword(); err != nil {
		return nil, err
	}
	if err := c.readTables(f, set); err != nil {
		return nil, err
	}
	c.derive(set)
	if err := c.applyPreset(f); err != nil {
		return nil, err
	}
	return c, c.validate(cmd, set)
}

// located adds where a bad value was set, unless it was a flag.
func located(err error, set settings) error {
	var bad *outbox.Invalid
	if errors.As(err, &bad) && bad.Hint == "" {
		if where := set[bad.Option].where; where != "" {
			bad.Hint = "set by " + where
		}
	}
	return err
}

// tryPassword reads the password's file once: one that is not there is a wrong
// configuration, while later it may be a rotation under way.
func (c *Config) tryPassword() error {
	if c.SourcePasswordFile == "" {
		return nil
	}
	if _, err := credential.File(c.SourcePasswordFile)(context.Background()); err != nil {
		return invalid("source-password-file", "%v", err)
	}
	return nil
}

// readTables makes Tables of the one list that was given.
func (c *Config) readTables(f *file, set settings) error {
	if len(f.tables) > 0 && len(c.outboxTables) > 0 {
		return &outbox.Invalid{Option: "outbox-table",
			Text: fmt.Sprintf("is given beside the list of tables in %s:%d; only one of them is allowed", f.path, f.tablesLine)}
	}
	for _, e := range f.tables {
		t, err := c.parseTable(e.table)
		if err != nil {
			return f.bad(e.line, "table %s", err)
		}
		if contains(c.TableNames(), t.String()) {
			return f.bad(e.line, "table %s is given twice", t)
		}
		t.Mapping, t.CleanupColumn = e.mapping, e.cleanup
		c.Tables = append(c.Tables, t)
	}
	if len(f.tables) > 0 {
		return nil
	}
	if len(c.outboxTables) == 0 {
		c.outboxTables = []string{"public.outbox"}
		switch {
		case c.Preset == PresetEventuate:
			c.outboxTables[0] = "eventuate.message"
		case c.isBinlog():
			c.outboxTables[0] = "outbox"
		}
	}
	for _, name := range c.outboxTables {
		t, err := c.parseTable(name)
		if err != nil {
			return invalid("outbox-table", "%s", err)
		}
		c.Tables = append(c.Tables, t)
	}
	return nil
}

// parseTable reads "schema.name"; a name alone is in the URL's database, where
// databases are all the schemas there are.
func (c *Config) parseTable(s string) (Table, error) {
	schema, name, ok := strings.Cut(s, ".")
	if own := databaseOf(c.SourceURL); !ok && c.isBinlog() {
		if own == "" {
			return Table{}, fmt.Errorf("%q is in no database: --source-url names none; want database.name", s)
		}
		schema, name, ok = own, s, true
	}
	if !ok || schema == "" || name == "" || strings.ContainsAny(name, ".") || strings.ContainsAny(s, "\"\x00") ||
		len(schema) > maxIdentifier || len(name) > maxIdentifier {
		return Table{}, fmt.Errorf("%q is not schema.name, without quotes, each at most %d bytes", s, maxIdentifier)
	}
	return Table{Schema: schema, Name: name}, nil
}

// derive fills in the defaults that depend on other options.
func (c *Config) derive(set settings) {
	if c.Name == "" && c.SourceURL != "" {
		if database := databaseOf(c.SourceURL); database != "" {
			c.Name = "tailer-" + strings.Map(nameByte, database)
			c.Name = c.Name[:min(len(c.Name), maxName)]
		}
	}
	if c.Name != "" {
		if !c.isBinlog() {
			setDefault(&c.PgSlot, identifier(c.Name))
			setDefault(&c.PgPublication, identifier(c.Name))
		}
		if c.Sink == SinkKafka && c.CheckpointFile == "" {
			setDefault(&c.CheckpointTopic, "tailer-checkpoint."+c.Name)
		}
		setDefault(&c.DeadLetterTopic, "tailer-dead-letter."+c.Name)
	}
	for i := range c.Tables {
		if c.CleanupAfter > 0 {
			setDefault(&c.Tables[i].CleanupColumn, c.CleanupColumn)
		} else {
			c.Tables[i].CleanupColumn = "" // every row is old enough
		}
	}
	if _, given := set["delivery"]; !given && c.Sink == SinkStdout {
		c.Delivery = AtLeastOnce // stdout knows no transactions
	}
}

func setDefault(s *string, def string) {
	if *s == "" {
		*s = def
	}
}

// nameByte keeps what is legal in a name and makes a dash of all else.
func nameByte(r rune) rune {
	if strings.ContainsRune(nameBytes, r) {
		return r
	}
	return '-'
}

// identifier makes a slot's name of a name: lower case, with underscores for
// whatever a slot may not have. Two long names that begin alike stay apart by
// a hash.
func identifier(name string) string {
	id := strings.Map(func(r rune) rune {
		if strings.ContainsRune(slotBytes, r) {
			return r
		}
		return '_'
	}, strings.ToLower(name))
	if len(id) <= maxIdentifier {
		return id
	}
	sum := sha256.Sum256([]byte(name))
	hash := "_" + hex.EncodeToString(sum[:4])
	return id[:maxIdentifier-len(hash)] + hash
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func invalid(option, format string, args ...any) *outbox.Invalid {
	return &outbox.Invalid{Option: option, Text: fmt.Sprintf(format, args...)}
}
