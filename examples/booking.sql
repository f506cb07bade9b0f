-- Seats of flights: no seat is sold twice, no flight sells more than it has.
--
--     skein sim --workload examples/booking.sql --runs 10

-- setup
CREATE TABLE flights (id int PRIMARY KEY, seats_left int NOT NULL CHECK (seats_left >= 0));
CREATE TABLE bookings (flight int NOT NULL, seat int NOT NULL, passenger int NOT NULL, PRIMARY KEY (flight, seat));
INSERT INTO flights SELECT id, 200 FROM generate_series(1, 5) id;

-- step weight 4
\set flight random(1, 5)
BEGIN;
INSERT INTO bookings SELECT id, seats_left, :client FROM flights WHERE id = :flight AND seats_left > 0;
UPDATE flights SET seats_left = seats_left - 1 WHERE id = :flight AND seats_left > 0;
COMMIT;

-- step weight 1
\set flight random(1, 5)
SELECT count(*) FROM bookings WHERE flight = :flight AND passenger = :client;

-- invariant
SELECT id, seats_left FROM flights f WHERE seats_left <> 200 - (SELECT count(*) FROM bookings b WHERE b.flight = f.id);

-- check
SELECT flight FROM bookings WHERE seat NOT BETWEEN 1 AND 200;
