# Makes the folders and the configuration of a RabbitMQ node and becomes it.
#
# Arguments: the program, the port. The password of the user `worthit` is in $WORTHIT_PASSWORD, that among nodes in
# $WORTHIT_COOKIE.
set -eu
program=$1 port=$2
umask 077
mkdir home
printf '%s' "$WORTHIT_COOKIE" >home/.erlang.cookie
cat >rabbitmq.conf <<END
listeners.tcp.1 = 127.0.0.1:$port
default_user = worthit
default_pass = $WORTHIT_PASSWORD
log.console.level = warning
log.connection.level = error
END
: >plugins
unset WORTHIT_PASSWORD WORTHIT_COOKIE
export HOME="$PWD/home"
# None of the system's settings.
export RABBITMQ_CONF_ENV_FILE="$PWD/none" RABBITMQ_ADVANCED_CONFIG_FILE="$PWD/none" RABBITMQ_CONFIG_FILES="$PWD/none"
export RABBITMQ_CONFIG_FILE="$PWD/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$PWD/plugins"
export RABBITMQ_MNESIA_BASE="$PWD/mnesia" RABBITMQ_LOG_BASE="$PWD/logs" RABBITMQ_PID_FILE="$PWD/pid" RABBITMQ_LOGS=-
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
# Otherwise a shell stays, which is no server and does not pass a signal on at once.
export RUNNING_UNDER_SYSTEMD=true
exec "$program"
