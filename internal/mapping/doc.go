// Package mapping turns outbox rows into Kafka messages: which column becomes
// the topic, the key, the value and the headers. It is pure: no clock, no
// connection, no error but rows that are poison.
//
// The default is what Debezium's Outbox Event Router does with its default
// options (https://debezium.io/documentation/reference/stable/transformations/outbox-event-router.html):
// topic outbox.event.<aggregatetype>, key aggregateid, value payload, header id.
package mapping
