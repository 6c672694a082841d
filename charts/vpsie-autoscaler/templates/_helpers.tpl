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

{{- /* How new workers are tainted: Policy, Webhook or Never. */ -}}
{{- define "vpsie-autoscaler.birthTaint" -}}
{{- if has .Values.birthTaint.mode (list "Policy" "Always") -}}
Policy
{{- else if ne .Values.birthTaint.mode "Auto" -}}
{{- .Values.birthTaint.mode -}}
{{- else if or (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version) -}}
Policy
{{- else -}}
Webhook
{{- end -}}
{{- end -}}

{{- define "vpsie-autoscaler.nodeNamePattern" -}}
{{- required "birthTaint.nodeNamePattern is empty: give a regular expression that matches the nodes VPSie creates, or set birthTaint.mode=Never" .Values.birthTaint.nodeNamePattern -}}
{{- end -}}

{{- /* What the API server itself sees of a node that may need the taint. */ -}}
{{- define "vpsie-autoscaler.mayNeedBirthTaint" -}}
- name: is-a-worker-of-vpsie
  expression: {{ printf "object.metadata.name.matches(%s)" (include "vpsie-autoscaler.nodeNamePattern" . | toJson) | quote }}
- name: is-not-labelled-yet
  expression: "!has(object.metadata.labels) || !('autoscaler.vpsie.com/managed' in object.metadata.labels)"
- name: has-not-the-taint-yet
  expression: "!has(object.spec.taints) || !object.spec.taints.exists(t, t.key == 'autoscaler.vpsie.com/unregistered')"
{{- end -}}

{{- /* The webhook's Service, Secret and configuration. A Service's name is shorter than a release's may be. */ -}}
{{- define "vpsie-autoscaler.birthWebhook" -}}
{{- printf "%s-birth-taint" (include "vpsie-autoscaler.name" . | trunc 51 | trimSuffix "-") -}}
{{- end -}}
