"""The way out to the site's MQTT broker: connection, topics, and a broker for demo and small sites."""
