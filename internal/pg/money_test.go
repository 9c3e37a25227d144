package pg_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tailer-io/tailer/internal/pg"
)

const moneyDDL = `create table prices (id int primary key, price money)`

func prices(c *pg.Config) {
	c.Tables = []pg.Table{{Schema: "public", Name: "prices", Columns: []string{"id", "price"}}}
}

// speaks gives the database a currency, or skips.
func (db *database) speaks(locale string) {
	db.tb.Helper()
	if err := run(db.conn, "set lc_monetary = '"+locale+"'"); err != nil {
		db.tb.Skipf("the server has no locale %s: skipped", locale)
	}
	db.exec("alter database %s set lc_monetary = '%s'", db.name, locale)
}

// Money has the form of the locale C, in the log, in the snapshot and in what
// is newest, whatever the database's own is.
func TestMoney(t *testing.T) {
	for _, locale := range []string{"C.utf8", "de_DE.UTF-8", "en_GB.UTF-8"} {
		t.Run(locale, func(t *testing.T) {
			db := newDatabase(t)
			db.exec(moneyDDL)
			db.speaks(locale)
			s, at := db.anchored(prices)
			tl := startTail(t, s, at, wide)
			db.exec("insert into prices values (1, (-1234.5)::numeric::money)")
			if got := tl.waitRows(1)[0].cells[1]; got != "-$1,234.50" {
				t.Errorf("the log has %q", got)
			}
			cfg := db.config()
			prices(&cfg)
			if rows, _ := db.newest(cfg, 1, ""); rows[0].cells[1] != "-$1,234.50" {
				t.Errorf("newest has %q", rows[0].cells[1])
			}
		})
	}
}

// A currency without a hundredth is refused: in the locale C, 1234 yen are
// $12.34.
func TestMoneyWithoutCents(t *testing.T) {
	db := newDatabase(t)
	db.exec(moneyDDL)
	db.speaks("ja_JP.UTF-8")
	cfg := db.config()
	prices(&cfg)
	_, err := newSource(t, cfg).Connect(context.Background())
	refused(t, err, pg.ReasonColumn, `column "price" of table public.prices is money, which has 0 digits after the point`,
		`ALTER TABLE "public"."prices" ALTER COLUMN "price" TYPE numeric`)
}

// Types of the application's own are named, not numbered.
func TestOwnTypes(t *testing.T) {
	db := newDatabase(t)
	db.exec(`create type colour as enum ('red'); create domain amount as numeric; create type pair as (a int, b int);
		create table own (id int primary key, a colour[], b amount[], c pair)`)
	cfg := db.config()
	cfg.Tables = []pg.Table{{Schema: "public", Name: "own", Columns: []string{"id", "a", "b", "c"}}}
	db.exec("insert into own values (1, '{red}', '{1}', '(1,2)')")
	_, shapes := db.newest(cfg, 1, "")
	var types []string
	for _, c := range shapes[0].Columns {
		types = append(types, c.Type)
	}
	if got := strings.Join(types, " "); got != "int4 public.colour[] public.amount[] public.pair" {
		t.Error(got)
	}
}
