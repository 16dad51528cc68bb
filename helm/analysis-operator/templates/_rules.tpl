{{/* What the operator does for modules, verb by verb. It reads no Secret, and no pod's log. */}}
{{- define "analysis-operator.rules" -}}
- apiGroups: [dataanalysis.io]
  resources: [analysismodules]
  verbs: [list, watch]
- apiGroups: [dataanalysis.io]
  resources: [analysismodules/status]
  verbs: [patch]
{{- /* Server-side apply of an object that is not there yet needs both create and patch. */}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
{{- /* patch: the annotation that makes the kubelet sync a running pod's Assignment at once. */}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "analysis-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "analysis-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
