{{/* Every name, so that two releases in one namespace do not meet; a release named rs3gw is just that. */}}
{{- define "rs3gw.name" -}}
{{- if contains "rs3gw" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-rs3gw" (.Release.Name | trunc 44 | trimSuffix "-") }}{{ end -}}
{{- end }}

{{- define "rs3gw.labels" -}}
app.kubernetes.io/name: rs3gw
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The ports of both Services. */}}
{{- define "rs3gw.ports" -}}
- name: http
  port: 9000
  targetPort: http
  appProtocol: {{ ternary "https" "http" (ne .Values.tls.secretName "") }}
- name: grpc
  port: 50051
  targetPort: grpc
  appProtocol: {{ ternary "https" "kubernetes.io/h2c" (ne .Values.tls.secretName "") }}
{{- end }}
