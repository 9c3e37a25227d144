package main

import (
	"testing"
	"time"
)

func TestWrongComparisons(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "tailer: compare wants TOPIC_A and TOPIC_B, not 0 arguments\n"},
		{[]string{"a"}, "tailer: compare wants TOPIC_A and TOPIC_B, not 1 arguments\n"},
		{[]string{"a", "b", "c"}, "tailer: compare wants TOPIC_A and TOPIC_B, not 3 arguments\n"},
		{[]string{"a", "a"}, "tailer: compare wants two topics, and both are \"a\"\n"},
		{[]string{"a", "b"}, "tailer: --kafka-brokers: is required, for example 127.0.0.1:9092\n"},
		{[]string{"a", "b", "--kafka-brokers=k"}, "tailer: --kafka-brokers: \"k\" is not host:port\n"},
		{[]string{"a", "b", "--isolation=snapshot"}, "tailer: --isolation: \"snapshot\" is not one of read_committed, read_uncommitted\n"},
		{[]string{"a", "b", "--id-header="}, "tailer: --id-header: is empty; a name that no record has matches records by key and value\n"},
		{[]string{"a", "b", "--limit=-1"}, "tailer: --limit: -1 is negative; 0 shows no examples\n"},
		{[]string{"a", "b", "--slack=-1s"}, "tailer: --slack: -1s is negative; 0 takes counterparts of the same time only\n"},
		{[]string{"a", "b", "--output=yaml"}, "tailer: --output: \"yaml\" is not one of text, json\n"},
		{[]string{"a", "b", "--since=yesterday"}, "tailer: --since: \"yesterday\" is neither a time such as 2026-01-02T15:04:05Z nor a duration such as 2h\n"},
		{[]string{"a", "b", "--until=-2h"}, "tailer: --until: \"-2h\" is neither a time such as 2026-01-02T15:04:05Z nor a duration such as 2h\n"},
		{[]string{"a", "b", "--since=1h", "--until=2h"}, "tailer: --until: is not later than --since\n"},
		{[]string{"a", "b", "--source-url=postgres://h/db"}, "tailer: unknown flag: --source-url\nhint: `tailer compare --help` lists the flags\n"},
		{[]string{"a/b", "c", "--kafka-brokers=k:1"}, "tailer: compare topics: look up topic a/b: topic name \"a/b\" has a character that is none of a-z A-Z 0-9 . _ -\n"},
		{[]string{"a", "b", "--ignore-headers=x"}, "tailer: unknown flag: --ignore-headers\nhint: did you mean --ignore-header?\n"},
	} {
		status, stdout, stderr := execute(t, nil, append([]string{"compare"}, c.args...)...)
		if status != exitInvalid || stdout != "" || stderr != c.want {
			t.Errorf("%q: status %d, stdout %q, stderr %q, want %q", c.args, status, stdout, stderr, c.want)
		}
	}
}

func TestCompareWithoutBroker(t *testing.T) {
	status, stdout, _ := execute(t, nil, "compare", "a", "b", "--kafka-brokers=127.0.0.1:1", "--log-level=error")
	if status != exitFailed || stdout != "" {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"0s":                        now,
		"90m":                       now.Add(-90 * time.Minute),
		"2026-01-02T11:00:00Z":      now.Add(-time.Hour),
		"2026-01-02T11:00:00+01:00": now.Add(-2 * time.Hour),
	} {
		if got, err := parseTime("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
