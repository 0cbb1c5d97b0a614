# Upgraded: what runs goes on with the new version.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ "$1" -lt 1 ] || systemctl try-restart esp-connector.service
fi
exit 0
