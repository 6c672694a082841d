{{- /*
Copyright The VPSie Autoscaler Authors.
SPDX-License-Identifier: Apache-2.0
*/ -}}

{{- /* The name of every object: the release's, or the release's and the chart's where the former does not contain the latter. */ -}}
{{- define "vpsie-autoscaler.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vpsie-autoscaler.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "vpsie-autoscaler.name" .) -}}
{{- end -}}

{{- define "vpsie-autoscaler.secret" -}}
{{- required "credentials.secretName is empty: name the Secret that holds the VPSie token (--set credentials.secretName=vpsie-secret)" .Values.credentials.secretName -}}
{{- end -}}

{{- define "vpsie-autoscaler.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vpsie-autoscaler.labels" -}}
{{ include "vpsie-autoscaler.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
