"""Local Bluetooth adapters through BlueZ. Importing this needs no D-Bus; its modules do."""
