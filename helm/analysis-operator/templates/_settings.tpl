{{/* The operator's settings file: the keys that analysis_operator/settings.py reads. */}}
{{- define "analysis-operator.settings" -}}
{{- $workers := .Values.workers }}
{{- $pullSecrets := list }}
{{- range $workers.imagePullSecrets }}{{ $pullSecrets = append $pullSecrets .name }}{{ end }}
{{- $kafka := pick .Values.kafka "bootstrapServers" "consumer" "producer" }}
{{- with .Values.kafka.security }}{{ $_ := set $kafka "security" . }}{{ end }}
{{- $settings := pick .Values "namespaces" "allowInlineSource" "concurrency" "statusSeconds" "resyncSeconds" "leaseName" "logLevel" }}
{{- $_ := set $settings "kafka" $kafka }}
{{- $_ := set $settings "workers" (dict
    "image" (include "analysis-operator.image" (dict "root" . "image" $workers.image))
    "imagePullPolicy" $workers.image.pullPolicy
    "imagePullSecrets" $pullSecrets
    "resources" $workers.resources
    "networkPolicy" $workers.networkPolicy
    "rollOnUpgrade" $workers.rollOnUpgrade
    "rollout" $workers.rollout) }}
{{- toYaml $settings }}
{{- end }}

{{/* The Secrets that the operator itself needs to look at Kafka, as JSON: name -> list of keys. It takes no tokens. */}}
{{- define "analysis-operator.secrets" -}}
{{- $secrets := dict }}
{{- range $_, $source := omit .Values.kafka.security "protocol" "mechanism" "checkHostname" "token" }}
{{- $keys := get $secrets $source.secretName | default list }}
{{- $_ := set $secrets $source.secretName (append $keys $source.key | uniq | sortAlpha) }}
{{- end }}
{{- toJson $secrets }}
{{- end }}
