-- An order and the message about it, in one transaction.
WITH placed AS (
    INSERT INTO orders (status) VALUES ('placed') RETURNING id
)
INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
SELECT 'order', 'order-' || id, 'OrderPlaced', jsonb_build_object('order', id, 'status', 'placed') FROM placed;
