"""French given names and what people of that name are called for short: data, PURE.

The product's own list, from general knowledge, spelt as `identity.attributes` spells names. No
French list of a permissive licence was found; the Wiktionary's categories are CC BY-SA.
"""

#: One given name to a line: the name, a colon, its short and pet names.
PRENOMS = """
adelaide: ade
adrien: adri dridri
agathe: aga
agnes: nes
albert: bebert bert al
alexandra: alex alexa sandra sacha
alexandre: alex sacha sandro
alexia: alex
alexis: alex
alfred: fred
aline: lili
amandine: mandine mandy
amelie: mel melie
anastasia: nastasia stasia ana
angelique: angie
anne: annie nanette annette anna
anne laure: annelaure al
anne marie: annemarie
anne sophie: annesophie anso
anthony: antho tony
antoine: toine toinou tony titoine
antoinette: toinette nenette
arnaud: nono arno
arthur: tutur
aurelie: aure lili
aurelien: aure
bastien: bast
beatrice: bea
benedicte: bene
benjamin: ben benji benj
benoit: ben benou
bernadette: nadette
bernard: nanard
bertrand: bert
brigitte: bri gigi
camille: cam
caroline: caro
catherine: cathy kathy cath kate katy
cecile: cec
celine: celinou
charles: charlie charlot
charlotte: lotte chacha charlie
christelle: chris kris
christian: chris
christiane: chris
christine: chris kris cricri
christophe: chris tophe kristof
claire: clairette
claude: claudie
claudine: didine
clemence: clem
clement: clem
clementine: clem
colette: coco
constance: coco
corinne: coco
damien: dam
daniel: dan dany
danielle: dany dan
daniele: dany dan
david: dav
delphine: delph phine
denis: denys
dominique: dom domi
dorothee: doro
edouard: ed eddy doudou
eleonore: leo nora elea
elisabeth: babeth babette elise lisa lise lisbeth zabeth betty elsa
elise: lise
eloise: elo
elodie: elo
emeline: mel
emilie: emi milie
emilien: emi
emmanuel: manu mano
emmanuelle: manu manue emma
eric: ricky
ernest: nenest
estelle: telle
etienne: tienne
eugenie: genie
evelyne: eve lyne
fabien: fab
fabienne: fab
fabrice: fab
ferdinand: fernand nando
florence: flo
florent: flo
florian: flo
florine: flo
francis: fran
francois: fanfan franz frans francky
francoise: fanfan soizic
franck: francky
frederic: fred fredo
frederique: fred
gabriel: gaby gab
gabrielle: gaby gab
gaelle: gae
gaston: gasty
genevieve: ginette gene ginou
georges: jojo geo
gerald: gege
gerard: gege
ghislaine: gigi
gilbert: gil bebert
gregory: greg grego
gregoire: greg grego
guillaume: guigui gui
gustave: gus tatave
gwenaelle: gwen
gwendoline: gwen
helene: leni lena
henri: riton
henriette: riette
hippolyte: polyte
hubert: hub
isabelle: isa zaza belle
jacqueline: jackie jacquotte
jacques: jacky jacquot
jean: jeannot
jeanne: jeannette jeannie
jean baptiste: jb jean jeanba
jean charles: jc jean
jean christophe: jc jean
jean claude: jc jean
jean francois: jf jean jeff
jean jacques: jj jean
jean louis: jl jean
jean luc: jl jean
jean marc: jm jean
jean marie: jm jean
jean michel: jm jean jeanmi
jean paul: jp jean
jean philippe: jp jean
jean pierre: jp jean jeanpi
jean rene: jr jean
jean sebastien: js jean
jean yves: jy jean
jennifer: jenny jen
jeremie: jerem
jeremy: jerem
jerome: jej gege
joel: jojo
joelle: jojo
jonathan: jon jona
joseph: jo jojo
josephine: jo fifine josette
joseline: josy
josette: jo
josiane: josy jo
julie: juju
julien: juju jules
juliette: juju
justine: juju
laetitia: laeti
laura: lolo
laure: lolo
laurence: lau lolo
laurent: lolo laurie
leonard: leo
leopold: leo
liliane: lili lily
lionel: lio
louis: loulou
louis philippe: louisphi
louise: loulou louison lison
lucas: luc
lucette: lulu
lucie: lulu
lucien: lulu
lucienne: lulu
ludivine: ludi
ludovic: ludo
madeleine: mado madelon magda lena
magali: mag
magalie: mag
marc: marco
marcel: marcello
marguerite: margot margo margaux maggie guite rita
marianne: manon
marie: mimi marinette marion mariette
marie anne: marianne marie
marie christine: marie
marie claire: marie
marie claude: marie
marie france: marie
marie helene: marilene marie
marie jose: marie majo
marie laure: malo marie
marie line: maryline marie
marie louise: malou marilou marie
marie madeleine: mado marie
marie noelle: marie
marie odile: marie
marie paule: marie
marie pierre: marie
marie therese: maite marithe marie
martine: titine
mathieu: mat matt math
matthieu: mat matt math
mathilde: mat math tilde
matthias: mat matt
maurice: momo
maxence: max
maxime: max
maximilien: max
melanie: mel melie
melissa: mel
michel: mich mimi
michele: mich mimi
micheline: mich
mickael: mike mick mika
mireille: mimi
mohamed: momo med mo
mohammed: momo med mo
monique: momo nique
muriel: mumu
nadege: nad
nadine: nad
nathalie: nat nath talie
nathan: nat
nathanael: nathan nat
nicolas: nico colas
nicole: nico
noemie: nono mimi
olivier: oliv olive
pascal: pasc
pascale: pasc
patrice: pat
patricia: pat patou
patrick: pat patou
paul: paulo polo
pauline: popo paulette
philippe: phil filou philou
philomene: mena
pierre: pierrot
pierre yves: py pierre
quentin: quent
raphael: raph rafa
raphaelle: raph
raymond: ray
renaud: nono
robert: bob bobby bebert
roger: roro
romain: rom
romane: rom
romuald: rom aldo
roseline: rose
roselyne: rose
sabine: sab
sabrina: sab
samuel: sam
samantha: sam
sandrine: sandy sand
sebastien: seb bastien
serge: sergio
severine: seve
simon: sim
solene: sol
sophie: so soph sofi
stephane: steph
stephanie: steph fanny fanie
sylvain: syl
sylvie: syl vivi
suzanne: suzy suzie suzette suzon
theodore: theo
theophile: theo
therese: tessa
thibault: thib titi
thibaut: thib titi
thierry: titi
thomas: tom toto tommy
timothee: tim timo
tristan: tris
valentin: val
valentine: val
valerie: val vava
vanessa: vaness
veronique: vero
victor: vic
victoire: vic
victoria: vic vicky
vincent: vince
virginie: gini ginie
vivien: viv
viviane: viv vivi
xavier: xav xa
yann: yannou
yannick: yann yan
yasmine: yas
yolande: yoyo
yves: yvon
yvonne: vonnette
zoe: zouzou
"""
