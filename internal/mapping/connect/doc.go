// Package connect writes values the way Kafka Connect's converters do: the
// bytes of StringConverter, JsonConverter and SimpleHeaderConverter for the
// schemas that Debezium gives to database columns. It is what makes a topic
// that another relay filled go on without a seam.
//
// A column's type becomes a Type once, when a table is described: a Schema and
// a function that reads the database's text of a cell into a Value. A Value is
// written by AppendJSON, AppendString or AppendSimple. What has no form of its
// own here is an error when the Type is made, never a guess.
package connect
