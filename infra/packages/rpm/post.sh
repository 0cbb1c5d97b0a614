# The user, then the configuration, which only root and this user may read. $1: how many versions are installed now.
systemd-sysusers esp-connector.conf
systemd-tmpfiles --create esp-connector.conf || true
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ "$1" -ne 1 ] || systemctl --no-reload preset esp-connector.service
fi
exit 0
