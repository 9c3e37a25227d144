// Package mapping turns outbox rows into Kafka messages: which column becomes
// the topic, the key, the value and the headers, and in which form. It is pure:
// no clock, no connection, no error but rows that are poison.
//
// The default is what Debezium's Outbox Event Router does with its default
// options (https://debezium.io/documentation/reference/stable/transformations/outbox-event-router.html):
// topic outbox.event.<aggregatetype>, key aggregateid, value payload, header id.
// A Table says what is different.
//
//	Table --New--> table: checked; the columns it wants, and where each is used
//	               + Shape --makePlan--> plan: the columns' types and their form
//	                                     + Row --Map--> Message
//
// Two presets have forms of their own: Eventuate (eventuate.go), whose rows do
// not come here as columns of choice, and CloudEvents (cloudevents.go), which
// adds headers to any mapping.
//
// Rows of the default preset take a short way through (Mapper.short), all
// others the long one. How values look in Kafka Connect is in package connect.
package mapping
