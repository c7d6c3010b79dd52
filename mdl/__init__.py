"""Networks for many visual domains: ResNet-26, plain and separable (Guo et al. 2019; Rebuffi et al. 2018)."""
