{{/* Names and labels that several objects share. */}}

{{- define "analysis-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the objects; short enough for what is added to it. A Service's name may hold no dot. */}}
{{- define "analysis-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $own := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- default $own .Values.fullnameOverride | replace "." "-" | trunc 53 | trimSuffix "-" }}
{{- end }}

{{- define "analysis-operator.serviceAccount" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "analysis-operator.fullname" .) "default" }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "analysis-operator.selector" -}}
app.kubernetes.io/name: {{ include "analysis-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "analysis-operator.labels" -}}
{{ include "analysis-operator.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The chart's labels and more: takes a dict of the chart's root and the others, which replace none of them. */}}
{{- define "analysis-operator.labelsAnd" -}}
{{- merge (include "analysis-operator.labels" .root | fromYaml) .more | toYaml }}
{{- end }}

{{/* The reference of an image: takes a dict of the chart's root and the image's values. */}}
{{- define "analysis-operator.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end }}
{{- end }}

{{/* Pod Security `restricted`, of a pod and of a container. */}}
{{- define "analysis-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "analysis-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
