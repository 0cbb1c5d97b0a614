{{- define "esp-connector.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* As the vendor's chart builds it: names that XDR knows stay the same with nameOverride: aerospike-esp-outbound. */}}
{{- define "esp-connector.fullname" -}}
{{- $name := include "esp-connector.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "esp-connector.selectorLabels" -}}
app.kubernetes.io/name: {{ include "esp-connector.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "esp-connector.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "esp-connector.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: connector
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "esp-connector.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "esp-connector.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The configuration file. */}}
{{- define "esp-connector.config" -}}
{{- $config := deepCopy .Values.connectorConfig -}}
{{- if not $config -}}
{{- $config = dict "service" (dict "port" 8901 "address" "127.0.0.1" "manage" (dict "port" 8902)) -}}
{{- end -}}
{{- $service := default dict (get $config "service") -}}
{{- if not .Values.keepClusterName -}}
{{- $_ := set $service "cluster-name" .Release.Name -}}
{{- end -}}
{{- $_ := set $config "service" $service -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The first of a number or a list of numbers. */}}
{{- define "esp-connector.first" -}}
{{- if kindIs "slice" . -}}{{- first . | int -}}{{- else -}}{{- int . -}}{{- end -}}
{{- end -}}

{{/* Every port XDR may connect to, as JSON: those of service.port and service.tls.port, 8080 where there is neither, and those of
     port-based-config. */}}
{{- define "esp-connector.xdrPorts" -}}
{{- $service := default dict (get .Values.connectorConfig "service") -}}
{{- $ports := list -}}
{{- if not .Values.connectorConfig -}}{{- $ports = list 8901 -}}{{- end -}}
{{- range $port := list (get (default dict (get $service "tls")) "port") (get $service "port") -}}
{{- if kindIs "slice" $port -}}{{- range $port -}}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- else if $port -}}{{- $ports = append $ports (int $port) -}}{{- end -}}
{{- end -}}
{{- if not $ports -}}{{- $ports = list 8080 -}}{{- end -}}
{{- range $port, $_ := default dict (get .Values.connectorConfig "port-based-config") -}}
{{- $ports = append $ports (int (toString $port)) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* Of the management endpoint, as JSON: {"port": …, "scheme": "HTTP" or "HTTPS", "ask": whether a probe can}. {} without one. */}}
{{- define "esp-connector.manage" -}}
{{- $service := default dict (get .Values.connectorConfig "service") -}}
{{- $manage := get $service "manage" -}}
{{- if not .Values.connectorConfig -}}{{- $manage = dict "port" 8902 -}}{{- end -}}
{{- if not $manage -}}{}
{{- else if get $manage "port" -}}
{{- $addresses := default "0.0.0.0" (get $manage "address") -}}
{{- if not (kindIs "slice" $addresses) -}}{{- $addresses = list $addresses -}}{{- end -}}
{{- $reachable := not (or (has "127.0.0.1" $addresses) (has "::1" $addresses) (has "localhost" $addresses)) -}}
{{- dict "port" (include "esp-connector.first" (get $manage "port") | int) "scheme" "HTTP" "ask" $reachable | toJson -}}
{{- else -}}
{{- $tls := default dict (get $manage "tls") -}}
{{- $mutual := or (get $tls "mutual-auth") (get $tls "allowed-peer-names") -}}
{{- dict "port" (include "esp-connector.first" (get $tls "port") | int) "scheme" "HTTPS" "ask" (not $mutual) | toJson -}}
{{- end -}}
{{- end -}}

{{/* One probe's handler. */}}
{{- define "esp-connector.probe" -}}
{{- $manage := include "esp-connector.manage" .root | fromJson -}}
{{- if get $manage "ask" -}}
httpGet: {path: {{ .path }}, port: manage, scheme: {{ get $manage "scheme" }}}
{{- else -}}
tcpSocket: {port: xdr}
{{- end }}
{{ toYaml .settings }}
{{- end -}}

{{/* Refuses what cannot work, before anything is installed. Java plug-ins would wait for a volume that never comes. */}}
{{- define "esp-connector.validate" -}}
{{- $service := default dict (get .Values.connectorConfig "service") -}}
{{- $grace := div (int (default 10000 (get $service "shutdown-grace-period"))) 1000 -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (int $grace) -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be longer than connectorConfig.service.shutdown-grace-period (%d s), or records in process are cut off" (int .Values.terminationGracePeriodSeconds) (int $grace)) -}}
{{- end -}}
{{- if hasSuffix "aerospike-esp-outbound" .Values.image.repository -}}
{{- fail (printf "image.repository is %s, the vendor's image: leave it out, or name the place of this connector's" .Values.image.repository) -}}
{{- end -}}
{{- range .Values.initContainers -}}
{{- range .volumeMounts -}}
{{- if eq .name "aerospike-esp-outbound-init" -}}
{{- fail "initContainers copies Java plug-ins (volume aerospike-esp-outbound-init): Java classes cannot run in this connector; see docs/vendor-options.md for what replaces them" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
